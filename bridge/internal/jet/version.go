package jet

import (
	"fmt"
	"strconv"
	"strings"
)

// MinServer is the oldest server that the bridge works with: earlier ones lack
// atomic batches or have defects in them.
const MinServer = "2.12.7"

// checkVersion refuses servers older than MinServer, and versions it cannot read.
func checkVersion(server string) error {
	have, pre, err := parseVersion(server)
	if err != nil {
		return err
	}
	want, _, err := parseVersion(MinServer)
	if err != nil {
		return err
	}
	for i := range want {
		if have[i] != want[i] {
			if have[i] > want[i] {
				return nil
			}
			return fmt.Errorf("it runs version %s: upgrade it to %s or newer", server, MinServer)
		}
	}
	if pre {
		return fmt.Errorf("it runs the preview %s: upgrade it to %s or newer", server, MinServer)
	}
	return nil
}

// parseVersion reads major.minor.patch with an optional -suffix, which marks a
// preview of that version, and an optional +suffix, which means nothing.
func parseVersion(s string) (v [3]int, preview bool, err error) {
	text, _, _ := strings.Cut(strings.TrimPrefix(s, "v"), "+")
	text, _, preview = strings.Cut(text, "-")
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return v, false, fmt.Errorf("it reports version %q, which is not major.minor.patch", s)
	}
	for i, p := range parts {
		if v[i], err = strconv.Atoi(p); err != nil || v[i] < 0 {
			return v, false, fmt.Errorf("it reports version %q, which is not major.minor.patch", s)
		}
	}
	return v, preview, nil
}
