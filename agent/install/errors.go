package install

// RefusedError is something that a person has to put right first. Nothing was changed.
type RefusedError struct {
	Err error
}

// Error implements error.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *RefusedError) Unwrap() error { return e.Err }

// TakenBackError says that a release did not come up, and that the one before it runs again.
type TakenBackError struct {
	Err error
}

// Error implements error.
func (e *TakenBackError) Error() string {
	return "the new release was taken back and the one before it runs again: " + e.Err.Error()
}

// Unwrap implements errors.Unwrap.
func (e *TakenBackError) Unwrap() error { return e.Err }

// DownError says that the agent does not run on this machine.
type DownError struct {
	Err error
}

// Error implements error.
func (e *DownError) Error() string { return "the agent does not run on this machine: " + e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *DownError) Unwrap() error { return e.Err }
