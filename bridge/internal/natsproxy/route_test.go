package natsproxy

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

func TestARouteLosesTheChosenMessagesAndNothingElse(t *testing.T) {
	addr, heard := lines(t)
	p, err := Start(Options{Target: addr, Route: func(subject string) bool { return strings.HasPrefix(subject, "lost.") }})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const header = "NATS/1.0\r\nA: b\r\n\r\n"
	fmt.Fprintf(c, "INFO {}\r\n"+
		"RMSG $SYS lost.one 5\r\nhello\r\n"+
		"RMSG $G kept.one reply 5\r\nRMSG \r\n"+
		"RMSG $G lost.two + reply queue 7\r\na\r\nb\r\nc\r\n"+
		"HMSG $G lost.three %d %d\r\n%shello\r\n"+
		"HMSG $G kept.two | queue %d %d\r\n%shello\r\n"+
		"LMSG there $G lost.four 0\r\n\r\n"+
		"RS+ $G lost.five\r\nPONG\r\n", len(header), len(header)+5, header, len(header), len(header)+5, header)
	for _, want := range []string{"INFO {}", "RMSG $G kept.one reply 5", "RMSG ",
		fmt.Sprintf("HMSG $G kept.two | queue %d %d", len(header), len(header)+5), "NATS/1.0", "A: b", "", "hello",
		"RS+ $G lost.five", "PONG"} {
		if got := next(t, heard); got != want {
			t.Errorf("the server heard %q, want %q", got, want)
		}
	}
}
