package sim

import "strings"

// filterToken is one token of $filter: a parenthesis, a comma, a quoted text with
// its quotes, or a word.
type filterToken string

func (t filterToken) quoted() bool { return strings.HasPrefix(string(t), "'") }

// lexFilter splits a decoded $filter; false when a quote is not closed.
func lexFilter(s string) ([]filterToken, bool) {
	var tokens []filterToken
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t':
			i++
		case c == '(' || c == ')' || c == ',':
			tokens = append(tokens, filterToken(s[i:i+1]))
			i++
		case c == '\'':
			end := literalEnd(s[i:])
			if end < 0 {
				return nil, false
			}
			tokens = append(tokens, filterToken(s[i:i+end]))
			i += end
		default:
			end := strings.IndexAny(s[i:], " \t(),'")
			if end < 0 {
				end = len(s) - i
			}
			tokens = append(tokens, filterToken(s[i:i+end]))
			i += end
		}
	}
	return tokens, true
}
