//go:build unix

package jet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockStore keeps a second server out of a store: two would destroy it. The lock
// ends with the process, however that ends.
func lockStore(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the store %s: %w", dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "cebridge.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the store %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("the store %s is in use by another process: stop it, or set nats.embedded.port "+
			"so that others can connect: %w", dir, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing a file that was only locked loses nothing
}
