package metrics

import "sync/atomic"

// counter adds up what goroutines have done.
type counter struct{ done atomic.Int64 }

func (c *counter) add(n int, progress func(done int)) {
	if d := c.done.Add(int64(n)); progress != nil {
		progress(int(d))
	}
}
