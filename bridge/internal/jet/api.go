package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const apiPrefix = "$JS.API."

// Error codes of the JetStream API that this package acts on. Source:
// nats-server 2.15.2, errors.json.
const (
	codeAccountResources     = 10002
	codeNoLeader             = 10008
	codeNotLeader            = 10009
	codeConsumerNotFound     = 10014
	codeInsufficientResource = 10023
	codeMemoryResources      = 10028
	codeNoMessage            = 10037
	codeStorageResources     = 10047
	codeMessageTooLarge      = 10054
	codeStreamMismatch       = 10056
	codeStreamNotFound       = 10059
	codeWrongLastSequence    = 10071
	codeNotEnabled           = 10076
	codeStoreFailed          = 10077
	codeHeaderTooLarge       = 10097
	codeSealed               = 10109
	codeRollupRefused        = 10111
	codeOffline              = 10118
	codeWrongLastConcurrent  = 10164
	codeTTLInvalid           = 10165
	codeTTLDisabled          = 10166
	codeBatchDisabled        = 10174
	codeBatchIncomplete      = 10176
	codeBatchHeader          = 10177
	codeBatchID              = 10179
	codeBatchTooLarge        = 10199
	codeTooManyBatches       = 10210
)

// code is the JetStream error code within err, 0 when there is none.
func code(err error) int {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return int(api.ErrorCode)
	}
	return 0
}

// request sends one request and waits for its answer, at most apiTimeout.
func (c *Conn) request(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	timed, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	return c.roundTrip(timed, m)
}

// api calls the JetStream API and decodes the answer into out. An error answer is
// a *jetstream.APIError.
func (c *Conn) api(ctx context.Context, name string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("JetStream request %s: %w", name, err)
	}
	answer, err := c.request(ctx, &nats.Msg{Subject: apiPrefix + name, Data: body})
	if err != nil {
		return fmt.Errorf("JetStream request %s: %w", name, err)
	}
	var failed struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &failed); err != nil {
		return fmt.Errorf("JetStream request %s: unreadable answer: %w", name, err)
	}
	if failed.Error != nil {
		return fmt.Errorf("JetStream request %s: %w", name, failed.Error)
	}
	if err := json.Unmarshal(answer.Data, out); err != nil {
		return fmt.Errorf("JetStream request %s: unreadable answer: %w", name, err)
	}
	return nil
}
