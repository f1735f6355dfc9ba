package mapping_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestProblems holds the exact text and place of every problem against
// testdata/problems.txt: blocks of "# promise", YAML lines, and "! problem" lines.
// YAML that begins with a '+' line gets table account and a key put before it.
func TestProblems(t *testing.T) {
	const file = "testdata/problems.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(strings.TrimSpace(string(text)), "\n\n")
	if len(blocks) < 60 {
		t.Fatalf("found only %d blocks", len(blocks))
	}
	var rewritten []string
	for _, block := range blocks {
		var name string
		var source, want []string
		for line := range strings.Lines(block) {
			line = strings.TrimRight(line, "\n")
			switch {
			case strings.HasPrefix(line, "# "):
				name = line[2:]
			case strings.HasPrefix(line, "! "):
				want = append(want, line[2:])
			case strings.HasPrefix(line, "+"):
				source = append(source, "table: account", "key: {accountnumber: data.number}", line[1:])
			default:
				source = append(source, line)
			}
		}
		var got []string
		for _, p := range problems(t, strings.Join(source, "\n")+"\n") {
			got = append(got, p.Error())
		}
		t.Run(name, func(t *testing.T) {
			if len(got) == 0 {
				t.Fatal("no problem was found")
			}
			if diff := cmp.Diff(want, got); diff != "" && !*update {
				t.Errorf("problems differ (-want +got):\n%s", diff)
			}
		})
		kept := strings.Split(block, "\n! ")[0]
		rewritten = append(rewritten, kept+"\n! "+strings.Join(got, "\n! "))
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(rewritten, "\n\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
