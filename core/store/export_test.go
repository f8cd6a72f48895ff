package store

// SameConnection is whether two stores share theirs.
func SameConnection(a, b *SQLite) bool { return a.c == b.c }

// Pragma asks the connection of a store.
func (s *SQLite) Pragma(name string) (any, error) { return s.c.value("PRAGMA " + name) }
