package jet

import (
	"strings"
	"testing"
)

func TestOldServersAreRefusedByName(t *testing.T) {
	t.Parallel()
	for version, ok := range map[string]bool{
		"2.12.7": true, "2.12.8": true, "2.13.0": true, "2.15.2": true, "3.0.0": true, "v2.15.2": true,
		"2.12.10": true, "2.12.7+build.5": true, "2.15.0-RC.1": true, "2.12.8-preview.1": true,
		"2.12.6": false, "2.11.99": false, "1.99.99": false, "2.9.25": false, "2.12.7-RC.1": false,
	} {
		err := checkVersion(version)
		if (err == nil) != ok {
			t.Errorf("%s: got %v", version, err)
		}
		if err != nil && !strings.Contains(err.Error(), version+": upgrade it to "+MinServer) {
			t.Errorf("%s: the error names neither version nor action: %v", version, err)
		}
	}
}

func TestUnreadableVersionsAreRefused(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"", "2", "2.12", "2.12.7.1", "a.b.c", "2.-1.7", "latest", "-2.12.7"} {
		if checkVersion(version) == nil {
			t.Errorf("%q was accepted", version)
		}
	}
}
