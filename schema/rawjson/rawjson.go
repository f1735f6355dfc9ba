// Package rawjson walks over the members of a JSON object without decoding them: the
// values are the bytes that stand there.
//
// It is for rows and for events that this bridge wrote, of which several are held
// against each other for every record that changes. What it accepts is valid JSON (RFC
// 8259) in valid UTF-8, nested at most MaxDepth deep, in one pass and without memory of
// its own. Two things it leaves to whoever let the text in: a name may stand twice in an
// object, and an escape may be half of a surrogate pair.
package rawjson

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how deep objects and arrays may be nested, the outermost included.
const MaxDepth = 64

// ErrSyntax is wrapped by every refusal. Its text tells where, and never what stands
// there: a name can be personal data.
var ErrSyntax = errors.New("not a valid JSON object")

// Object walks over one object, which fills the text but for blanks around it:
//
//	o := rawjson.Walk(text)
//	for o.Next() {
//		use(o.Name, o.Value)
//	}
//	return o.Err()
//
// Only after Err returned nil the whole text was seen and is valid.
type Object struct {
	// Name and Value are of the member at hand. Value shares the text's memory, and so
	// does Name, unless escapes had to be taken out of it.
	Name, Value []byte

	text  []byte
	at    int
	begun bool
	ended bool
	err   error
}

// Walk begins before the first member.
func Walk(text []byte) Object { return Object{text: text} }

// Err is what ended the walk, nil for the end of the object.
func (o *Object) Err() error { return o.err }

// Next moves to the next member. It returns false at the end and on a fault.
func (o *Object) Next() bool {
	if o.ended {
		return false
	}
	if !o.begun {
		if !utf8.Valid(o.text) {
			return o.fail(0, "not valid UTF-8")
		}
		o.begun = true
		if o.at = blanks(o.text, 0); !at(o.text, o.at, '{') {
			return o.fail(o.at, "no object begins")
		}
		if o.at = blanks(o.text, o.at+1); at(o.text, o.at, '}') {
			return o.end()
		}
	} else {
		switch {
		case at(o.text, o.at, ','):
			o.at = blanks(o.text, o.at+1)
		case at(o.text, o.at, '}'):
			return o.end()
		default:
			return o.fail(o.at, "neither a comma nor the end of the object")
		}
	}
	return o.member()
}

// member reads a name and its value, and the blanks behind them.
func (o *Object) member() bool {
	from := o.at
	if !at(o.text, from, '"') {
		return o.fail(from, "no name")
	}
	end, escaped := quoted(o.text, from+1)
	if end < 0 {
		return o.fail(^end, "no text")
	}
	o.Name = o.text[from+1 : end-1 : end-1]
	if escaped {
		// It fails on half a surrogate pair, which no name has.
		name, err := jsontext.AppendUnquote(nil, o.text[from:end])
		if err != nil {
			return o.fail(from, "a bad escape")
		}
		o.Name = name
	}
	if end = blanks(o.text, end); !at(o.text, end, ':') {
		return o.fail(end, "no colon")
	}
	from = blanks(o.text, end+1)
	if end = value(o.text, from, MaxDepth-1); end < 0 {
		return o.fail(^end, fmt.Sprintf("no value, or one nested deeper than %d", MaxDepth))
	}
	o.Value = o.text[from:end:end]
	o.at = blanks(o.text, end)
	return true
}

// end makes sure that nothing follows the object.
func (o *Object) end() bool {
	if o.at = blanks(o.text, o.at+1); o.at < len(o.text) {
		return o.fail(o.at, "something follows the object")
	}
	o.ended, o.Name, o.Value = true, nil, nil
	return false
}

func (o *Object) fail(at int, what string) bool {
	o.ended, o.Name, o.Value = true, nil, nil
	o.err = fmt.Errorf("%w: %s at byte %d of %d", ErrSyntax, what, at, len(o.text))
	return false
}
