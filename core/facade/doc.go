// Package facade is the library in flat types: handles, addresses, lengths and error kinds, for callers that are not Go.
// gopy binds it for Python and capi exports it as the C ABI; it knows neither.
//
// Every call that can fail takes an address and length for an error text (written as UTF-8, cut to fit, closed by a zero
// byte) and returns a kind: 0 is success. Addresses are of memory the caller owns and keeps alive for the call; nothing
// is kept after it. No panic leaves this package: one becomes KindInternal with its stack as text.
//
// Long calls take the address of a control block of ControlLen int64 words (0: none). The caller may set word
// ControlCancel to 1 at any time; the call then ends soon with KindCanceled. The call writes the other words as it goes.
package facade

// Error kinds.
const (
	KindOK int64 = iota
	KindParam
	KindShape
	KindNotFinite
	KindZeroRow
	KindCode
	KindFormat
	KindType
	KindVersion
	KindHandle
	KindDevice
	KindCanceled
	KindIO
	KindInternal
	KindStore
	KindLocked
	KindReadOnly
	KindCorrupt
	KindDiverged
)

// Words of a control block.
const (
	ControlCancel = iota // set by the caller: 1 asks the call to stop
	ControlLevel         // the level being worked on, from 0
	ControlLevels        // how many levels there are
	ControlDone          // steps done: iterations of this level (fit), epochs (RQVAEFit), rows (encode), levels (encode balanced)
	ControlTotal         // the most steps there can be
	ControlAtOnce        // set by the caller: 1 asks for KindLocked instead of a wait for others; the call looks at nothing else
	ControlLen    = 8    // words in a block; the rest is reserved and zero
)
