package event

import "strconv"

// ID is the id attribute: account/<record id>/123, with /deleted for a delete and
// @2 for epoch 2. Epoch 1 is not written.
func ID(table, recordID string, version int64, epoch int, deleted bool) string {
	b := make([]byte, 0, len(table)+len(recordID)+40)
	b = append(b, table...)
	b = append(b, '/')
	b = append(b, recordID...)
	return string(appendIDTail(b, version, epoch, deleted))
}

// appendIDTail appends what follows the record id.
func appendIDTail(b []byte, version int64, epoch int, deleted bool) []byte {
	b = append(b, '/')
	b = strconv.AppendInt(b, version, 10)
	if deleted {
		b = append(b, "/deleted"...)
	}
	if epoch > 1 {
		b = append(b, '@')
		b = strconv.AppendInt(b, int64(epoch), 10)
	}
	return b
}

// Sequence is the sequence attribute: 0001.0000000000000000123.0. Texts compare
// as (epoch, version, delete) for epochs 0 to MaxEpoch and versions from 0.
func Sequence(version int64, epoch int, deleted bool) string {
	return string(appendSequence(make([]byte, 0, 26), version, epoch, deleted))
}

func appendSequence(b []byte, version int64, epoch int, deleted bool) []byte {
	b = appendPadded(b, int64(epoch), 4)
	b = append(b, '.')
	b = appendPadded(b, version, 19)
	if deleted {
		return append(b, ".1"...)
	}
	return append(b, ".0"...)
}

// appendPadded appends n >= 0 with at least width digits.
func appendPadded(b []byte, n int64, width int) []byte {
	const zeros = "0000000000000000000"
	digits := 1
	for m := n; m >= 10; m /= 10 {
		digits++
	}
	if digits < width {
		b = append(b, zeros[:width-digits]...)
	}
	return strconv.AppendInt(b, n, 10)
}
