package store

// SameConnection is whether two stores share theirs.
func SameConnection(a, b *SQLite) bool { return a.c == b.c }

// Pragma asks the connection of a store.
func (s *SQLite) Pragma(name string) (any, error) { return s.c.value("PRAGMA " + name) }

// Setting asks the transaction of a PostgreSQL store.
func Setting(tx Tx, name string) (value string, err error) {
	err = tx.(*postgresTx).rows("SELECT current_setting($1)", func(row [][]byte) error {
		value = string(row[0])
		return nil
	}, []byte(name))
	return value, err
}
