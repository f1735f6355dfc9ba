package event

import (
	"fmt"
	"strconv"
)

// Published is what a stored event of the bridge tells from its headers alone.
type Published struct {
	Version int64
	Epoch   int
	Change  Change
	Hash    uint64
}

// Deleted tells whether the event is a tombstone.
func (p Published) Deleted() bool { return p.Change == Deleted }

// ReadHeader reads the plain headers of an event that an Encoder wrote. It fails,
// naming the header, on a message that was written by something else.
func ReadHeader(h map[string][]string) (Published, error) {
	var p Published
	text, err := only(h, HeaderVersion)
	if err != nil {
		return Published{}, err
	}
	if p.Version, err = strconv.ParseInt(text, 10, 64); err != nil || p.Version < 1 {
		return Published{}, foreign(HeaderVersion, "is not a positive number")
	}
	if text, err = only(h, HeaderEpoch); err != nil {
		return Published{}, err
	}
	if p.Epoch, err = strconv.Atoi(text); err != nil || p.Epoch < 1 || p.Epoch > MaxEpoch {
		return Published{}, foreign(HeaderEpoch, "is not an epoch")
	}
	if text, err = only(h, HeaderChange); err != nil {
		return Published{}, err
	}
	switch p.Change = Change(text); p.Change {
	case Loaded, Created, Updated, Deleted:
	default:
		return Published{}, foreign(HeaderChange, "is not a change")
	}
	if text, err = only(h, HeaderHash); err != nil {
		return Published{}, err
	}
	if p.Hash, err = strconv.ParseUint(text, 16, 64); err != nil || len(text) != 16 {
		return Published{}, foreign(HeaderHash, "is not a hash of 16 hexadecimal digits")
	}
	return p, nil
}

func only(h map[string][]string, name string) (string, error) {
	v := h[name]
	if len(v) == 0 {
		return "", foreign(name, "is missing")
	}
	if len(v) > 1 {
		return "", foreign(name, "is there twice")
	}
	return v[0], nil
}

func foreign(header, what string) error {
	return fmt.Errorf("%w: header %s %s: the message was not written by this bridge", ErrInvalid, header, what)
}
