package webapi

import (
	"bytes"
	"io"
)

// bom is the byte order mark that some servers put before their JSON.
var bom = []byte("\xef\xbb\xbf")

// pageReader is the body of an answer without its byte order mark. It remembers how
// reading it failed, so that a cut connection is not taken for a fault of the JSON.
type pageReader struct {
	r io.Reader
	// err is the failure, nil for io.EOF.
	err   error
	begun bool
	// head is what is left of the first bytes.
	head []byte
}

func (p *pageReader) Read(b []byte) (n int, err error) {
	if !p.begun {
		p.begun = true
		if err := p.begin(); err != nil {
			return 0, err
		}
	}
	if len(p.head) > 0 {
		n = copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	n, err = p.r.Read(b)
	return n, p.note(err)
}

// begin reads as many bytes as the mark has.
func (p *pageReader) begin() error {
	head, n := make([]byte, len(bom)), 0
	for n < len(head) {
		m, err := p.r.Read(head[n:])
		n += m
		if err == io.EOF {
			break // the next Read says so again
		}
		if err != nil {
			return p.note(err)
		}
	}
	p.head = bytes.TrimPrefix(head[:n], bom)
	return nil
}

func (p *pageReader) note(err error) error {
	if err != nil && err != io.EOF {
		p.err = err
	}
	return err
}
