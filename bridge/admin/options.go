package admin

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
)

// Source is what the port shows. Both methods may be called at any time after
// Start and until Stop returns.
type Source interface {
	// Status returns within a few seconds; texts in it are shown to everybody who
	// can reach the port, so they hold no secret and no personal data.
	Status() Status
	// Ready is nil, or says why not. Customer Engagement throttling or being away
	// is no reason, nor is a stopped route or a halted table: a restart or less traffic
	// to the bridge would not help.
	Ready() error
}

// Options configure a Server.
type Options struct {
	// Listen is host:port; port 0 takes a free one.
	Listen string
	// AllowRemote permits a listen address that is not loopback.
	AllowRemote bool
	// AllowedHosts are further names or addresses, without port, that a request
	// may name in its Host header.
	AllowedHosts []string
	// Metrics answers /metrics; nil means 404.
	Metrics http.Handler
	Source  Source
	// Schemas finds the JSON Schema of a table's events; nil means none.
	Schemas func(table, version string) ([]byte, bool)
	// Logger nil discards.
	Logger *slog.Logger
}

// check returns the host part of Listen.
func (o *Options) check() (string, error) {
	if o.Source == nil {
		return "", errors.New("the admin port needs a source")
	}
	return o.address()
}

// CheckAddress tells what is wrong with Listen, AllowRemote and AllowedHosts.
func (o *Options) CheckAddress() error {
	_, err := o.address()
	return err
}

func (o *Options) address() (string, error) {
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil || port == "" {
		return "", fmt.Errorf("admin listen address %q is not host:port", o.Listen)
	}
	if !o.AllowRemote && !isLoopback(host) {
		return "", fmt.Errorf("admin listen address %q can be reached from other machines, without login: "+
			"use a loopback address, or set allow_remote and put a proxy before it", o.Listen)
	}
	for _, h := range o.AllowedHosts {
		if name, ok := hostName(h); !ok || name == "" || name != fold(h) {
			return "", fmt.Errorf("allowed host %q is not a host name or address without a port", h)
		}
	}
	return host, nil
}
