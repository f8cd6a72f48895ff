package sinkhorn

import "math"

// math.Exp and math.Log use fused multiply-adds where a CPU or a build has them, so their last bits differ. These round
// each product and each sum, and are the same everywhere. Both are off by less than 2 units in the last place.

const (
	least   = -700               // exp is 0 below it
	ln2High = 0x1.62e42fefa38p-1 // so short that its product with an exponent is exact
	ln2Low  = math.Ln2 - ln2High
	rounder = 0x1.8p52 // added and taken away, it rounds to an integer
)

// exp is e to the power of x, at most 700; 0 for x below -700.
func exp(x float64) float64 {
	if !(x >= least) {
		return 0
	}
	shifted := float64(x*math.Log2E) + rounder
	n := shifted - rounder
	r := x - float64(n*ln2High) - float64(n*ln2Low)
	// The Taylor series: with |r| <= 0.35, what follows is below 2^-57.
	p := float64(r*(1.0/6227020800)) + 1.0/479001600
	p = float64(p*r) + 1.0/39916800
	p = float64(p*r) + 1.0/3628800
	p = float64(p*r) + 1.0/362880
	p = float64(p*r) + 1.0/40320
	p = float64(p*r) + 1.0/5040
	p = float64(p*r) + 1.0/720
	p = float64(p*r) + 1.0/120
	p = float64(p*r) + 1.0/24
	p = float64(p*r) + 1.0/6
	p = float64(p*r) + 1.0/2
	p = float64(p*r) + 1
	p = float64(p*r) + 1
	return p * math.Float64frombits((math.Float64bits(shifted)+1023)<<52)
}

// log is the natural logarithm of a positive number that is not subnormal.
func log(x float64) float64 {
	m, n := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, n = 2*m, n-1
	}
	// log m = 2 atanh s, whose series has gone below 2^-57 after s^21.
	s := (m - 1) / (m + 1)
	q := float64(s * s)
	p := float64(q*(1.0/21)) + 1.0/19
	p = float64(p*q) + 1.0/17
	p = float64(p*q) + 1.0/15
	p = float64(p*q) + 1.0/13
	p = float64(p*q) + 1.0/11
	p = float64(p*q) + 1.0/9
	p = float64(p*q) + 1.0/7
	p = float64(p*q) + 1.0/5
	p = float64(p*q) + 1.0/3
	p = float64(float64(p*q) * s)
	e := float64(n)
	return float64(e*ln2High) + (float64(2*p) + float64(e*ln2Low) + float64(2*s))
}
