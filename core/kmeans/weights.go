package kmeans

// CheckWeights returns the error that Fit would: unless weights is nil it must hold a finite weight >= 0 for each row, and
// at least one of them positive.
func CheckWeights(weights []float64, rows int) error { return checkWeights(weights, rows) }
