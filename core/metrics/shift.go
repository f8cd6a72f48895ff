package metrics

import (
	"fmt"
	"math"

	"github.com/semantic-id/semantic-id/core"
)

// Shift is how the use of a level's codes differs between old and new rows.
type Shift struct {
	// PSI is the population stability index, the sum over the codes of (q-p) ln(q/p), p and q being their shares of the old
	// and new rows, each code counted half a row more often; less what it is in the mean where nothing has changed, (codes-1) (1/old
	// + 1/new) (Yurdakul, Statistical Properties of Population Stability Index, 2018), and at least 0.
	PSI []float64
	// Utilization is what share of the codebook as many rows as the new ones would use in the mean if they were like the old.
	Utilization []float64
}

// Shifted compares the codes of new rows with those of old ones; old of no rows stands for equally used codes, and PSI is then NaN.
// clusters has the size of each level's codebook.
func Shifted(fresh, old core.Codes, clusters []int) (Shift, error) {
	var s Shift
	if len(clusters) != fresh.Levels || old.Rows > 0 && old.Levels != fresh.Levels {
		return s, fmt.Errorf("metrics: %w: codes of %d and of %d levels, %d codebook sizes, want equally many", core.ErrShape, fresh.Levels, old.Levels, len(clusters))
	}
	for l, k := range clusters {
		if k < 1 {
			return s, fmt.Errorf("metrics: %w: a codebook of %d codes at level %d, want at least 1", core.ErrParam, k, l)
		}
	}
	if err := checkCodes(fresh); err != nil {
		return s, err
	}
	for l, k := range clusters {
		now, err := countCodes(fresh, l, clusters)
		if err != nil {
			return s, err
		}
		was := make([]int64, k)
		for j := range was {
			was[j] = 1
		}
		rows := float64(k)
		if old.Rows > 0 {
			if err := checkCodes(old); err != nil {
				return s, err
			}
			if was, err = countCodes(old, l, clusters); err != nil {
				return s, err
			}
			rows = float64(old.Rows)
		}
		psi, used := 0.0, 0.0
		for j := range was {
			p := (float64(was[j]) + 0.5) / (rows + float64(k)/2)
			q := (float64(now[j]) + 0.5) / (float64(fresh.Rows) + float64(k)/2)
			psi += (q - p) * math.Log(q/p)
			used -= math.Expm1(float64(fresh.Rows) * math.Log1p(-float64(was[j])/rows))
		}
		psi = max(0, psi-float64(k-1)*(1/rows+1/float64(fresh.Rows)))
		if old.Rows == 0 {
			psi = math.NaN()
		}
		s.PSI = append(s.PSI, psi)
		s.Utilization = append(s.Utilization, used/float64(k))
	}
	return s, nil
}
