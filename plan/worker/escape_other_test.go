//go:build !linux || !(amd64 || arm64)

package worker

import "errors"

// attempt has nothing to try where nothing is refused.
func attempt(string) string { return errors.ErrUnsupported.Error() }
