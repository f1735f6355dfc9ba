package sim

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
)

func TestHeadersHaveTheirRecordedSpellingOnTheWire(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	base, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(base, "http://")
	c, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const body = `{"name":"x"}`
	for _, request := range []string{
		"PATCH /api/data/v9.2/accounts(accountnumber='1') HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/json\r\nPrefer: return=representation\r\nContent-Length: 12\r\n\r\n" + body,
		"PATCH /api/data/v9.2/accounts(accountnumber='1') HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/json\r\nContent-Length: 12\r\nConnection: close\r\n\r\n" + body,
	} {
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := io.ReadAll(bufio.NewReader(c))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\r\nOData-Version: 4.0\r\n", "\r\nETag: W/", "\r\nREQ_ID: ", "\r\nOData-EntityId: http", "\r\nx-ms-dop-hint: 4\r\n", "\r\nx-ms-ratelimit-time-remaining-xrm-requests: 1,200.00\r\n"} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("no %q in\n%s", want, raw)
		}
	}
	for name := range wireNames {
		if strings.Contains(string(raw), "\r\n"+name+":") {
			t.Errorf("%s is spelled as net/http does", name)
		}
	}
}
