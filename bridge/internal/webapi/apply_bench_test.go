package webapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"cebridge/schema"
)

// instantServer answers every request at once, as the Web API does: what is measured
// beside it is the client alone, without a connection.
type instantServer struct{}

func (instantServer) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	resp := &http.Response{
		Status: "204 No Content", StatusCode: http.StatusNoContent, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Odata-Version":  {"4.0"},
			"Odata-Entityid": {"https://contoso.crm.dynamics.com/api/data/v9.2/accounts(00000000-0000-0000-0000-000000000001)"},
		},
		Body: http.NoBody, Request: req,
	}
	if req.Method != http.MethodPost {
		return resp, nil
	}
	var answer bytes.Buffer
	for range bytes.Count(body, []byte("PATCH ")) {
		answer.WriteString("--batchresponse_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n" +
			"HTTP/1.1 204 No Content\r\nOData-Version: 4.0\r\n" +
			"OData-EntityId: https://contoso.crm.dynamics.com/api/data/v9.2/accounts(00000000-0000-0000-0000-000000000001)\r\n\r\n\r\n")
	}
	answer.WriteString("--batchresponse_1--\r\n")
	resp.Status, resp.StatusCode = "200 OK", http.StatusOK
	resp.Header["Content-Type"] = []string{"multipart/mixed; boundary=batchresponse_1"}
	resp.ContentLength = int64(answer.Len())
	resp.Body = io.NopCloser(&answer)
	return resp, nil
}

// BenchmarkApply is what a write costs beside the connection.
func BenchmarkApply(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run("batch of "+strconv.Itoa(batch), func(b *testing.B) {
			const writers = 200
			c, err := New(Config{
				URL: "https://contoso.crm.dynamics.com", MaxInFlight: 8, Transport: instantServer{}, Batch: BatchConfig{Max: batch},
			})
			if err != nil {
				b.Fatal(err)
			}
			work := make(chan *schema.Write, writers)
			var all sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range writers {
				all.Go(func() {
					for w := range work {
						if _, err := c.Apply(context.Background(), w); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for i := range b.N {
				work <- &schema.Write{
					Operation: schema.OpUpsert, Table: "account", EntitySet: "accounts",
					Predicate: fmt.Sprintf("accountnumber='B%06d'", i), Body: []byte(`{"name":"Contoso"}`),
				}
			}
			close(work)
			all.Wait()
		})
	}
}
