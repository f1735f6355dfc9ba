// Package outbound follows tables.
package outbound
