package f32

import "math"

// fma returns x*y + z rounded once to float32, as the instruction does. The product of two float32 is exact in float64 and
// the sum is rounded there; rounding it again to float32 goes wrong only where the float64 lies halfway between two
// float32 while the exact sum does not, and fmaHalfway sees to those.
func fma(x, y, z float32) float32 {
	s := float64(x)*float64(y) + float64(z)
	if b := math.Float64bits(s); b&0x1fffffff == 0x10000000 || b<<1 < 897<<53 { // 897: the exponent of 2^-126
		return fmaHalfway(x, y, z)
	}
	return float32(s)
}

// fmaHalfway is fma where the float64 sum may lie halfway, or where float32 is denormal and halfway lies elsewhere: it
// rounds the exact sum to odd, to the neighbouring float64 whose last bit is 1 unless the sum is one itself. That keeps
// what the second rounding needs to know (Boldo, Melquiond, IEEE Trans. Comput. 57(4), 2008).
func fmaHalfway(x, y, z float32) float32 {
	p, c := float64(x)*float64(y), float64(z)
	s := p + c
	if s == 0 || math.IsInf(s, 0) || math.IsNaN(s) {
		return float32(s)
	}
	t := s - p
	rest := (p - (s - t)) + (c - t) // what the sum lost (Knuth's TwoSum)
	if b := math.Float64bits(s); rest != 0 && b&1 == 0 {
		if (rest > 0) == (s > 0) {
			b++
		} else {
			b--
		}
		s = math.Float64frombits(b)
	}
	return float32(s)
}
