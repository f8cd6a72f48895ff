package f32

import "math"

// The error of a float32 score, and when a row is certain of its code.
//
// A centroid's score is S = r·c - |c|²/2: the squared distance is |r|² - 2S, so the best score is the nearest centroid.
// A tile computes s = fl(p + b) with p a chain of dim multiply-adds from zero, fused or not, and b = fl(-|c|²/2).
// Let u = 2^-24, and let S_k be the exact sum of the first k products. Step k adds an error of at most u|S_k| for its
// addition, u|r_k c_k| if the product is rounded by itself, and 2^-149 for underflow (Higham, Accuracy and Stability of
// Numerical Algorithms, 2002, section 3.1). By Cauchy-Schwarz |S_k| is at most R_k C_k, the norms of the first k
// elements, and the sum of R_k C_k over k is at most W(r) W(c), where W(x)² is the sum of X_k² over k. In a centered
// search r and c are themselves rounded differences, which is worth another 2u (|r||c| + |c|²/2). With the roundings
// of b and of the last addition:
//
//	|s - S| <= G (u (W(r) W(c) + 4 |r||c| + 2.02 |c|²) + (dim+2) 2^-149),   G = (1+u)^(dim+8)
//
// For a row and centroids whose squares spread evenly W(r) W(c) is about dim/2 |r||c|, half of what the usual
// dim |r||c| would give. Nothing overflows on the way if |r||c| + |c|² < 2^126.
//
// A code is not defined by exact distances but by sums in float64, d = D (1+θ), |θ| <= (dim+8) 2^-53 = g, and
// D <= (|r|+|c|)². So centroid 1 is the code and no other ties with it if, for each other j,
//
//	S_1 - S_j > g (|r|+|c|max)²,   which follows from   s_1 - s_j > 2E,   E = the bound above + g (|r|+|c|max)²/2.
//
// Here |c| and W(c) are the largest over the codebook, so one number serves the whole row. All of this is evaluated in
// float64, whose own rounding the factor slack covers.
type bound struct {
	dim      int
	c        float64 // |c|
	chain    float64 // G u W(c)
	norm     float64 // 4 G u |c|
	constant float64 // G (2.02 u |c|² + (dim+2) 2^-149)
	define   float64 // g/2
	growth   float64 // G
	grow     float64 // sumGrow
	tiny     float64 // sumTiny
}

const (
	unit  = 0x1p-24
	slack = 1 + 0x1p-22
)

// newBound returns the bound for centroids with norms of at most c and W of at most w.
func newBound(dim int, c, w float64) bound {
	d := float64(dim)
	g := math.Exp((d+8)*unit) * slack
	return bound{
		dim:      dim,
		c:        c,
		chain:    g * unit * w,
		norm:     4 * g * unit * c,
		constant: g * (2.02*unit*c*c + (d+2)*0x1p-149),
		define:   (d + 8) * 0x1p-54 * slack,
		growth:   g,
		grow:     sumGrow(dim),
		tiny:     sumTiny(dim),
	}
}

// What packPanel sums up is at least the true sum divided by sumGrow, less sumTiny for squares that vanish. It adds four
// squares, then such fours, and for the prefix sums their sums once more: no square goes through more than dim/2+8 roundings.
func sumGrow(dim int) float64 { return math.Exp((float64(dim)/2+8)*unit) * slack }
func sumTiny(dim int) float64 { return (float64(dim) + 8) * (float64(dim) + 8) * 0x1p-149 }

// prefixNorm bounds W(x) from above, given what packPanel sums up.
func prefixNorm(prefix float32, dim int) float64 {
	return math.Sqrt(4*(float64(prefix)*sumGrow(dim)+sumTiny(dim))) * slack
}

// row returns E for a row with the sums of packPanel, +Inf if float32 may overflow, and NaN or +Inf for a row that is
// not finite.
func (b *bound) row(norm, prefix float32) float64 {
	r, w := math.Sqrt(float64(norm)*b.grow+b.tiny), math.Sqrt(4*(float64(prefix)*b.grow+b.tiny))
	if !(r*b.c+b.c*b.c < 0x1p126) {
		return math.Inf(1)
	}
	return (b.chain*w + b.norm*r + b.constant + b.define*(r+b.c)*(r+b.c)) * slack
}

// single is row for scores from dots with the bias added in float64: the error of centroid j's is at most perNorm |c_j| +
// rest. Each product is rounded by itself and goes through depth-1 additions at most, no sum being greater than |r||c|;
// |c|²/2 only carries the error of a centered search.
func (b *bound) single(norm float32, depth int) (perNorm, rest float64) {
	r := math.Sqrt(float64(norm)*b.growth + b.tiny)
	if !(r*b.c+b.c*b.c < 0x1p126) {
		return math.Inf(1), math.Inf(1)
	}
	perNorm = b.growth * unit * (float64(depth+4)*r + 2*b.c)
	rest = (b.growth*float64(2*b.dim+8)*0x1p-149 + b.define*(r+b.c)*(r+b.c)) * slack
	return perNorm, rest
}
