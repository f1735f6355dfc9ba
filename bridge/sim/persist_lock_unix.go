//go:build unix

package sim

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockDirectory takes the lock of a data directory, which ends with the process.
func lockDirectory(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("in use: %w", err), f.Close())
	}
	return f, nil
}
