package f32

import "math"

// The error of a float32 score, and when a row is certain of its code.
//
// A centroid's score is S = r·c - |c|²/2: the squared distance is |r|² - 2S, so the best score is the nearest centroid.
// A tile computes s = fl(p + b) with p a chain of dim multiply-adds from zero, fused or not, and b = fl(-|c|²/2).
// Let u = 2^-24, and let S_k be the exact sum of the first k products. Step k adds an error of at most u|S_k| for its
// addition, u|r_k c_k| if the product is rounded by itself, and 2^-149 for underflow (Higham, Accuracy and Stability of
// Numerical Algorithms, 2002, section 3.1). By Cauchy-Schwarz |S_k| is at most R_k C_k, the norms of the first k
// elements, and the sum of R_k C_k over k is at most W(r) W(c), where W(x)² is the sum of X_k² over k. With the
// roundings of b and of the last addition:
//
//	|s - S| <= G (u (W(r) W(c) + 2 |r||c| + 1.01 |c|²) + (dim+2) 2^-149),   G = (1+u)^(dim+8)
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
// float64, whose own rounding the factor `slack` covers.
type bound struct {
	dim      int
	chain    float64 // G u W(c)
	norm     float64 // 2 G u |c|
	constant float64 // G (1.01 u |c|² + (dim+2) 2^-149)
	c        float64 // |c|
	define   float64 // g/2
	grow     float64 // how much too small a float32 sum of dim squares may be, as a factor
	tiny     float64 // and as a difference
	growth   float64 // G
}

const (
	unit  = 0x1p-24
	slack = 1 + 0x1p-20
)

// newBound returns the bound for centroids with norms of at most c and W of at most w.
func newBound(dim int, c, w float64) bound {
	d := float64(dim)
	g := math.Exp((d+8)*unit) * slack
	return bound{
		dim:      dim,
		chain:    g * unit * w,
		norm:     2 * g * unit * c,
		constant: g * (1.01*unit*c*c + (d+2)*0x1p-149),
		c:        c,
		define:   (d + 8) * 0x1p-54 * slack,
		grow:     math.Exp(2*(d+8)*unit) * slack,
		tiny:     (d + 8) * (d + 8) * 0x1p-149,
		growth:   g,
	}
}

// norms turns the float32 sums of packPanel into upper bounds of |r| and W(r).
func (b *bound) norms(norm, prefix float32) (r, w float64) {
	return math.Sqrt(float64(norm)*b.grow + b.tiny), math.Sqrt(4 * (float64(prefix)*b.grow + b.tiny))
}

// row returns E for a row, or +Inf or NaN if float32 may overflow or the row is not finite.
func (b *bound) row(r, w float64) float64 {
	if !(r*b.c+b.c*b.c < 0x1p126) {
		return math.Inf(1)
	}
	return (b.chain*w + b.norm*r + b.constant + b.define*(r+b.c)*(r+b.c)) * slack
}
