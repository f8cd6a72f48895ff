package rqkmeans

// WithoutTables makes beam search work from residuals, as it does where the tables would be too large.
func (m *Model) WithoutTables() {
	t := newBeamTables(m.books)
	t.tabled = false
	m.beamOnce.Do(func() { m.beam = t })
}
