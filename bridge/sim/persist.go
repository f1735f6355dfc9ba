package sim

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	// dataFile holds a snapshot of all records, then what happened since.
	dataFile = "data.jsonl"
	lockFile = "data.lock"
	// versionStep is how many row versions are set aside at a time. Versions below
	// the noted ceiling are not given out again after a crash, so that a delta token
	// never lies ahead of the database.
	versionStep = 10_000
	// maxDataLine bounds one line, which holds a whole change set.
	maxDataLine = 1 << 30
)

// store appends committed transactions to a file, one line each, before they are
// answered: a process that is killed loses nothing it has answered. It is not
// synced to the disk line by line, so a power failure may. Guarded by the
// server's lock.
type store struct {
	dir     string
	file    *os.File
	lock    *os.File
	size    int64 // of the lines that are whole
	ceiling int64
	buf     []byte
	failed  error // why nothing more can be written
}

// openStore opens or creates the data file of a directory. An unfinished line at
// the end, left by a killed process, is cut off; anything else that cannot be
// read is an error.
func openStore(dir string) (st *store, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("simulator: data directory: %w", err)
	}
	lock, err := lockDirectory(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("simulator: data directory %s: %w: close the other simulator, or choose another directory", dir, err)
	}
	// An unfinished compaction left this; the data file is still the old one.
	if err := os.Remove(filepath.Join(dir, dataFile+".new")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("simulator: data directory: %w", err), lock.Close())
	}
	f, err := os.OpenFile(filepath.Join(dir, dataFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("simulator: data file: %w", err), lock.Close())
	}
	return &store{dir: dir, file: f, lock: lock}, nil
}

// append writes whole lines, or nothing.
func (st *store) append(lines []byte) error {
	if st.failed != nil {
		return st.failed
	}
	if _, err := st.file.WriteAt(lines, st.size); err != nil {
		if cut := st.file.Truncate(st.size); cut != nil {
			st.failed = fmt.Errorf("simulator: data file: %w", errors.Join(err, cut))
		}
		return fmt.Errorf("simulator: append to the data file: %w", err)
	}
	st.size += int64(len(lines))
	return nil
}

// reserve makes sure that version is below the noted ceiling.
func (st *store) reserve(version int64) {
	if version <= st.ceiling {
		return
	}
	if err := st.append(ceilingLine(version + versionStep)); err != nil {
		st.failed = err
		return
	}
	st.ceiling = version + versionStep
}

// close notes the last version, for a clean start, and lets go of the directory.
func (st *store) close(version int64) error {
	if st.file == nil {
		return nil
	}
	var errs []error
	if st.failed == nil {
		errs = append(errs, st.append(ceilingLine(version)), st.file.Sync())
	}
	errs = append(errs, st.file.Close(), st.lock.Close())
	st.file, st.failed = nil, errors.New("simulator: the server is closed")
	return errors.Join(errs...)
}

// replace puts a new data file, written by fn, in the place of the old one. A
// crash leaves either of the two.
func (st *store) replace(fn func(w io.Writer) error) error {
	path := filepath.Join(st.dir, dataFile)
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("simulator: rewrite the data file: %w", err)
	}
	err = fn(f)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("simulator: rewrite the data file: %w", errors.Join(err, f.Close()))
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("simulator: rewrite the data file: %w", errors.Join(err, f.Close()))
	}
	old := st.file
	st.file, st.size = f, size
	if err := errors.Join(old.Close(), syncDirectory(st.dir)); err != nil {
		return fmt.Errorf("simulator: rewrite the data file: %w", err)
	}
	return nil
}

// syncDirectory makes a rename last.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	err = errors.Join(d.Sync(), d.Close())
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}
