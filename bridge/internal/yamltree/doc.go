// Package yamltree reads a YAML file strictly, with the place of every fault.
//
// A strict decoder stops at its first fault; a person who repairs a file wants
// all of them. So the tree is walked by hand: every read names a field, says
// what it expects and notes a problem with line, column and field path when it
// finds something else. A field nobody asked for is a problem too, with the
// nearest known name as a suggestion.
//
// Environment variables are expanded in the parsed tree, never in the text, so a
// secret that contains ": #" or a line break stays one value:
//
//	${NAME}            the variable; missing or empty is a problem
//	${NAME:-default}   the variable, or the default when missing or empty
//	${file:/path}      the content of a file, without its last line break
//	$${                a literal ${
//
// What a reader knows can be found out without a list beside it: Outline lets it read a
// document that seems to have everything, Trace remembers what it read of a real one.
//
// Not accepted: anchors, aliases and merge keys (they can multiply), more than one
// document, tabs as indentation, more than 1 MiB, more than 32 levels.
package yamltree
