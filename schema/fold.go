package schema

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// FoldKey is the form under which two key values count as the same record: the
// database compares texts without case and without trailing blanks
// (assumption: the default collation; see the simulator's list).
func FoldKey(table string, parts []KeyPart) string {
	return foldParts(table, parts, strings.ToLower)
}

func foldParts(table string, parts []KeyPart, fold func(string) string) string {
	var b strings.Builder
	size := len(table)
	for _, p := range parts {
		size += len(p.Column) + len(p.Value) + 2
	}
	b.Grow(size)
	b.WriteString(table)
	for _, p := range parts {
		b.WriteByte(0)
		b.WriteString(p.Column)
		b.WriteByte(1)
		if p.Parent != nil && p.Value == nil {
			foldParent(&b, p.Parent, fold)
			continue
		}
		foldValue(&b, p, fold)
	}
	return b.String()
}

func foldValue(b *strings.Builder, p KeyPart, fold func(string) string) {
	text, _, err := scalarText(p.Value)
	if err != nil {
		text = string(p.Value)
	}
	b.WriteString(fold(strings.TrimRight(text, " ")))
}

// expansions are letters that compare like two others, in lower case.
var expansions = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "þ", "th")

// foldWide removes every difference that one of the platform's collations may
// ignore: case, accents, composed or not, width, the two kinds of kana, and characters
// without a weight (assumption, after the comparison rules of Windows collations;
// which collation a database has cannot be asked for).
func foldWide(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return foldUnicode(s)
		}
	}
	return strings.ToLower(s)
}

func foldUnicode(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Cf):
			return -1
		case r >= 'ァ' && r <= 'ヶ':
			return r - ('ァ' - 'ぁ')
		}
		return unicode.ToLower(unicode.ToUpper(r))
	}, norm.NFKD.String(s))
	return expansions.Replace(strings.TrimRight(s, " "))
}
