package core

import "fmt"

// Metric says how rows are compared.
type Metric int

const (
	L2     Metric = iota // squared Euclidean distance between rows as they are
	Cosine               // the same between rows divided by their norm
)

// String returns the name used in files and by Python: "l2" or "cosine".
func (m Metric) String() string {
	switch m {
	case L2:
		return "l2"
	case Cosine:
		return "cosine"
	}
	return fmt.Sprintf("Metric(%d)", int(m))
}

// ParseMetric reads what String writes.
func ParseMetric(s string) (Metric, error) {
	switch s {
	case "l2":
		return L2, nil
	case "cosine":
		return Cosine, nil
	}
	return 0, fmt.Errorf("%w: metric is %q, want \"l2\" or \"cosine\"", ErrParam, s)
}
