package rqkmeans

import (
	"math"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/persist"
)

// Save writes the model and the settings of its fit as the directory dir, or makes dir hold it instead of the model it
// holds: whatever happens meanwhile, dir holds the old model or the new one. Python and semantic-id 0.2.5 read it too.
func (m *Model) Save(dir string) error {
	file := m.settings
	file.Clusters, file.Dim, file.Metric, file.Books = m.Clusters(), m.dim, m.metric.String(), m.books
	return persist.SaveRQKMeans(dir, file)
}

// Load reads the directory that Save, Python or semantic-id 0.2.5 wrote. Errors wrap core.ErrFormat (a file cut short,
// altered or foreign), core.ErrType, core.ErrVersion or a file system error, and name the file.
func Load(dir string) (*Model, error) {
	file, err := persist.LoadRQKMeans(dir)
	if err != nil {
		return nil, err
	}
	metric, err := core.ParseMetric(file.Metric)
	if err != nil {
		return nil, err
	}
	m, err := New(file.Books, metric)
	if err != nil {
		return nil, err
	}
	file.Books = nil
	m.settings = file
	return m, nil
}

// settings is what a file says of a fit with p.
func (p Params) settings() persist.RQKMeans {
	s := persist.RQKMeans{Implementation: "kmeans", MaxIter: p.MaxIter, Tol: p.Tol, NInit: &p.Restarts}
	if p.Balanced {
		s.Implementation = "constrained"
	}
	if p.Seed <= math.MaxInt64 {
		seed := int64(p.Seed)
		s.RandomState = &seed
	}
	return s
}
