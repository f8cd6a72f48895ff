package core

import "errors"

// The sentinel errors. Public calls wrap one of them with the numbers at fault; facade turns each into a kind.
var (
	ErrParam     = errors.New("invalid parameter")
	ErrShape     = errors.New("wrong shape")
	ErrNotFinite = errors.New("input contains NaN or Inf")
	ErrZeroRow   = errors.New("a row of zeros has no direction")
	ErrCode      = errors.New("code out of range")
	ErrFormat    = errors.New("not a valid model file") // truncated, altered or foreign
	ErrType      = errors.New("Invalid model type")     //lint:ignore ST1005 the words users of 0.2.5 match on
	ErrVersion   = errors.New("model written by a newer version")
	ErrHandle    = errors.New("no such model handle")
	ErrDevice    = errors.New("device not available")

	ErrDiverged = errors.New("training diverged")

	ErrUnreadable = errors.New("rows became unreadable")
)
