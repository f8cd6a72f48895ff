package f32

import "testing"

func TestNearestTails(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		for dim := 1; dim <= 130; dim++ {
			for _, k := range []int{1, 2, 3, 5, 7, 13, 14, 15, 29, 33} {
				rows := 1 + (dim*7+k*3)%70
				checkNearest(t, "normal", normals(1, rows*dim), normals(2, k*dim), k, dim)
			}
		}
		for rows := 0; rows <= 140; rows++ {
			checkNearest(t, "normal", normals(3, rows*5), normals(4, 17*5), 17, 5)
		}
	})
}
