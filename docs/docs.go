// Package docs holds the pages that the program itself quotes.
package docs

import _ "embed"

// Configuration is configuration.md, whose tables say what each setting means.
//
//go:embed configuration.md
var Configuration string
