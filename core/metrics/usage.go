package metrics

import (
	"fmt"
	"math"
	"slices"

	"github.com/semantic-id/semantic-id/core"
)

// Usage is how codes and ids are spread over rows. An id is a whole row of codes.
type Usage struct {
	Unique        int     // different ids
	CollisionRate float64 // 1 - Unique / rows
	SingletonRate float64 // share of the rows whose id no other row has
	LargestBucket int     // rows that share the commonest id
	Gini          float64 // of the rows an id, over the ids in use
	Entropy       float64 // of the ids, in nats
	Perplexity    float64 // e to the power of that: as many ids, used equally, have the same entropy
	Levels        []LevelUsage
}

// LevelUsage is the same of one level, its codebook being codes 0 to Clusters-1.
type LevelUsage struct {
	Clusters      int
	Used          int     // codes that some row has
	Dead          int     // Clusters - Used
	Utilization   float64 // Used / Clusters
	Gini          float64 // of the rows a code, over all of the codebook
	Entropy       float64 // of the codes, in nats
	Perplexity    float64
	CollisionRate float64 // 1 - different prefixes up to this level / rows
	FanOut        float64 // different codes that follow a prefix, in the mean over the prefixes before this level
}

// Use measures how codes are used. clusters has the size of each level's codebook; nil stands for the largest code + 1.
func Use(c core.Codes, clusters []int) (Usage, error) {
	if err := checkCodes(c); err != nil {
		return Usage{}, err
	}
	if clusters != nil && len(clusters) != c.Levels {
		return Usage{}, fmt.Errorf("metrics: %w: %d codebook sizes for %d levels", core.ErrShape, len(clusters), c.Levels)
	}
	counts := make([][]int64, c.Levels)
	for l := range counts {
		var err error
		if counts[l], err = countCodes(c, l, clusters); err != nil {
			return Usage{}, err
		}
	}
	n := float64(c.Rows)
	tree := prefixes(c)
	ids := tree[c.Levels].sizes()
	u := Usage{Unique: len(ids), CollisionRate: 1 - float64(len(ids))/n, LargestBucket: int(slices.Max(ids)), Gini: Gini(ids), Entropy: Entropy(ids)}
	u.Perplexity = math.Exp(u.Entropy)
	for _, size := range ids {
		if size == 1 {
			u.SingletonRate += 1 / n
		}
	}
	u.SingletonRate = math.Min(1, u.SingletonRate)
	for l, of := range counts {
		level := LevelUsage{Clusters: len(of), Gini: Gini(of), Entropy: Entropy(of)}
		for _, rows := range of {
			if rows > 0 {
				level.Used++
			}
		}
		level.Dead = level.Clusters - level.Used
		level.Utilization = float64(level.Used) / float64(level.Clusters)
		level.Perplexity = math.Exp(level.Entropy)
		level.CollisionRate = 1 - float64(tree[l+1].count())/n
		level.FanOut = float64(tree[l+1].count()) / float64(tree[l].count())
		u.Levels = append(u.Levels, level)
	}
	return u, nil
}

// countCodes returns how many rows have each code of a level.
func countCodes(c core.Codes, level int, clusters []int) ([]int64, error) {
	most := int32(0)
	for i := range c.Rows {
		code := c.Data[i*c.Levels+level]
		if code < 0 || clusters != nil && int(code) >= clusters[level] {
			want := "at least 0"
			if clusters != nil {
				want = fmt.Sprintf("from 0 to %d", clusters[level]-1)
			}
			return nil, fmt.Errorf("metrics: %w: %d at row %d, level %d, want %s", core.ErrCode, code, i, level, want)
		}
		most = max(most, code)
	}
	size := int(most) + 1
	if clusters != nil {
		size = clusters[level]
	}
	if size > maxClusters {
		return nil, fmt.Errorf("metrics: %w: a codebook of %d codes at level %d, want at most %d", core.ErrParam, size, level, maxClusters)
	}
	counts := make([]int64, size)
	for i := range c.Rows {
		counts[c.Data[i*c.Levels+level]]++
	}
	return counts, nil
}

const maxClusters = 1 << 26 // 512 MiB of counts

// Gini is how unevenly counts are spread (Gini, Variabilità e mutabilità, 1912): 0 where all are equal, and 1 - 1/n where
// one of n has all. It is NaN if they are all 0.
func Gini(counts []int64) float64 {
	sorted := slices.Clone(counts)
	slices.Sort(sorted)
	n := float64(len(sorted))
	var sum, weighted float64
	for i, v := range sorted {
		sum += float64(v)
		weighted += float64(i+1) * float64(v)
	}
	return max(0, 2*weighted/(n*sum)-(n+1)/n)
}

// Entropy is Shannon's, in nats, of a distribution given by counts (Bell Syst. Tech. J. 27(3), 1948).
func Entropy(counts []int64) float64 {
	var sum, s float64
	for _, v := range counts {
		sum += float64(v)
	}
	for _, v := range counts {
		if v > 0 {
			p := float64(v) / sum
			s -= p * math.Log(p)
		}
	}
	return max(0, s)
}
