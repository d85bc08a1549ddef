package agent

// InputError is a mistake in what a person gave: nothing was changed.
type InputError struct {
	Err error
}

// Error implements error.
func (e *InputError) Error() string { return e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *InputError) Unwrap() error { return e.Err }

// input marks an error as the person's to mend.
func input(err error) error {
	if err == nil {
		return nil
	}
	return &InputError{Err: err}
}
