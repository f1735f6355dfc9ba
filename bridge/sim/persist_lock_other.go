//go:build !unix

package sim

import (
	"fmt"
	"os"
)

// lockDirectory only opens the file: these systems have no lock that ends with
// the process, and a stale one would be worse than none.
func lockDirectory(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	return f, nil
}
