// Package inbound applies events.
package inbound
