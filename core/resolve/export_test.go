package resolve

// SetFirstOffers sets how many places a row is offered at first, and returns what sets it back.
func SetFirstOffers(n int) (undo func()) {
	old := firstOffers
	firstOffers = n
	return func() { firstOffers = old }
}
