// Package mapping turns an inbound CloudEvent into a keyed write, or several.
//
// A mapping is the part of a route that says which record an event is about and
// what to write to it. YAML carries the structure, CEL (cel.dev) the
// expressions. It is read with positions (Parse), compiled against the tables'
// metadata before the first message (Compile), and then applied to events
// (Program.Match, Program.Map, Program.Revision). The package does no I/O but
// to load the time zones that a mapping names, reads no clock and starts no
// goroutine; a Program is safe for concurrent use.
//
// # Fields
//
//	when       a condition; an event for which it is false is not for this route
//	table      logical name of the table that is written
//	operation  upsert (default), create, update or delete
//	key        {column: expression, ...}: an alternate key, declared and Active; a lookup
//	           in it is a GUID, or names its record as one of lookups does (Keys)
//	id         expression: the record's GUID; instead of key
//	resolve    {column: expression, ...}: columns that find the record; instead of
//	           key, for update and delete alone
//	columns    {column: expression, ...}
//	lookups    {column: {table: {keycolumn: expression, ...}}}  by alternate key
//	           {column: {table: {resolve: {column: expression, ...}}}}  by a search
//	           {column: {table: expression}}                    by GUID
//	           {column: expression}                             ref(...), resolve(...), null or omit()
//	on_create  {columns: ..., lookups: ...}: written only when the record is new
//	merged     reject or redirect: what to do when the record was merged into another
//	writes     a list of mappings, instead of table and what belongs to it
//	codes      {table: {code: value, ...}, ...}: what another system's codes mean
//	revision   expression: a whole number, a time or a text that grows
//
// Every scalar is an expression. A constant text is a CEL string within YAML
// quotes ('"NW"'); a plain YAML number, true, false and null mean themselves.
//
// # Keys
//
// A lookup in the record's own key is a GUID, or a record named by its own key or by
// resolve: then Write.Key has a Parent (schema.KeyParent), whose GUID has to be found
// before the write has an address.
//
// Writes to one record must share a lane, and a lane is made of what the event says,
// as nobody can be asked here. Two events can name one record by unequal texts in two
// ways. Either the texts are equal to the server: those are folded, the parent's as the
// record's own, in whatever order its columns stand. Or one names the parent by a GUID or
// another key: this is refused. A part of a key names its record in one form, the same for
// all events and all entries of writes that write the table: a GUID, or one key of one
// table, or one search. So ref() and resolve() stand alone there, with their columns
// written out. What is left is a parent whose own key changes between two events, which no
// form can exclude, as little as that of the record.
//
// # Several writes
//
// Each entry of writes has the fields of a mapping but revision, and for_each. They
// give their writes in the order of the file. With for_each, an expression that
// yields a list, an entry gives one write for each element, in the order of the list;
// its expressions can use item, the element, and index, its place from 0. An entry's
// when, evaluated for each element, leaves a write out. An event may end up with no
// write at all.
//
// The same event can come again, so all its writes must be repeatable: create cannot
// stand in writes, and an event that updates a record and then deletes it is refused.
// The revision is that of the first write's record. So with revision the entries up to
// the first one without when address one record, in the same words, and none of them
// has for_each: an event may update its record or delete it. An event gives at most
// 1000 writes, of at most 8 MiB together.
//
// # Paths
//
// An expression that only names a place in the event (data.customer.name,
// data.items[0].sku, data["Customer No"]) copies the JSON value as it stands,
// numbers digit by digit, without CEL. A missing place is a rejection that names
// the path. The same holds for data.?phone.orValue(x): the value as it stands,
// or x when the place is missing. A null that is there is a null, not missing.
//
// # Expressions
//
// Variables: data (the event's JSON, untyped), id, source, type, subject, time,
// dataschema, datacontenttype, and attributes, the map of extension attributes
// as texts. An absent text attribute is ""; an absent time is an error where it
// is used. Optional types and the CEL strings extension are on. Functions:
//
//	omit()                              leave the column alone (null clears it)
//	ref("table", {"keycolumn": x, ...}) a lookup's target by alternate key
//	ref("table", x)                     a lookup's target by GUID
//	resolve("table", {"column": x, ...})  a lookup's target by a search
//	optionset("table.column", label)    the value of a choice by its label
//	optionset(label)                    the same for the column being written
//	code("table", x)                    what a code stands for; unknown: a rejection
//	code("table", x, otherwise)         the same, or otherwise
//	round(x, n)                         n decimals, halves away from zero
//	localDate(x, "zone")                yyyy-MM-dd of a moment in an IANA time zone
//	isoDate(x)                          yyyy-MM-dd of a time, of a text that is one,
//	                                    or of yyyyMMdd; as written, in no other zone
//
// optionset, round, localDate and isoDate yield null for null and omit() for omit().
//
// Numbers of the event are doubles inside expressions, so arithmetic needs
// double constants (data.price * 2.0). What an expression yields is written as
// exact text: 4711, never 4711.0 or 4.711e3. A number that a double cannot hold
// digit by digit is refused, not rounded: whole numbers beyond 2^53, and
// decimals with more digits than a double keeps. A path copies both exactly.
//
// Names of tables, code tables and zones in functions are constants, checked when
// the mapping is compiled. Zones come from the machine's database or, where it has
// none, from the one in the program. Code tables can be shared (ParseCodes,
// Spec.ShareCodes); codes are texts, a number is its shortest digits, and null and
// omit() pass through, null only where there is no otherwise.
//
// With an example of the event's data (Options.Example), the places that a
// mapping names must be there, and the values it copies must fit their columns.
//
// With a JSON Schema of the data (Options.Schema), the places that a mapping names must be
// in it, those that it reads without a default must be required where anything is, and of a
// value that is copied one kind and every listed value must fit. Places within the
// macros of lists are not followed. Words that are not read (dataSchema lists those that
// are), schemas of other documents and what is nested too deeply say nothing. Events are
// not held against it.
//
// Lint says what is wrong whatever the tables are like.
//
// An expression is bounded by its length, its number of nodes, its nesting, and
// while it runs by a cost limit and the caller's context.
//
// # Values
//
// Each value is checked against its column before anything is sent: type, length
// in UTF-16 units (as the server's platform counts), numeric range, the options
// of a choice, the form of dates and GUIDs. Nothing is converted that could hide
// a mistake: a number is not a text, a label is not an option's value, and a time
// needs a zone (the server would silently take it as UTC), an amount has no more
// decimals than the server keeps (it would silently round), and money that may be
// written to a new record has its currency, or omit() for it (it would silently be
// the user's). Exceptions: a whole
// number may be written as 4711.0 or 4.711e3 in the event and is normalized, a
// list of whole numbers becomes a multi-select's "1,2", and a time becomes text
// in the column's own form.
//
// # Filters
//
// A Filter (ParseFilter, CompileFilter) is a condition in the same language on the rows
// of a followed table. Its only variable is record: the row as the Web API sent it, a
// lookup under its read name (_primarycontactid_value). Every use of record names a
// column, which must be read. An empty column is null; record.?x is then none and
// has(record.x) false. Numbers are doubles, the nearest one where none is exact; a whole
// number beyond 2^53 is an int. There are no functions beside the standard ones, and
// filled(x), which is none for null. Keep reads no more of a row than it must. Its
// errors hold the place and nothing of the row.
//
// # Output
//
// Body is a compact JSON object: columns in the order of the YAML, then lookups.
// A lookup is written as navigation property plus @odata.bind, the name in the
// exact case of the metadata; a bind value is a URL, so the key in it is
// percent-encoded exactly as in a request path:
//
//	"primarycontactid@odata.bind":"/contacts(emailaddress1='contact%40contoso.com')"
//
// A lookup is cleared by a null bind. For a polymorphic lookup the first
// navigation property that the mapping names, else the first of the metadata, is
// the one set to null (assumption: all of them write the same column). In a key
// of a lookup, omit() in any part leaves the lookup alone; null in every part that
// is not a constant clears it, null in only some parts is a rejection. Columns of
// the record's own key are never in Body. OnCreate is Body's members followed by
// those of on_create.
//
// # Searches
//
// Nothing is looked up here: where only the server can tell which record is meant,
// the write says how to find it. That is so for resolve, and for an alternate key
// with a value that no URL takes (schema.ForbiddenKeyCharacters, a date with a
// time). For the record itself it is Write.Search, with the key's columns in
// Write.KeyMembers should the record have to be made; Key stays what it is, so that
// the lane does. For a lookup it is one of Write.References, and its member in Body
// has the query in the place of the address until it is bound:
//
//	"ownerid@odata.bind":"/systemusers?$select=systemuserid&$filter=domainname%20eq%20%27CONTOSO%5Cann%27&$top=2"
//
// A search for a key is made for every write; the answer to a resolve may be an
// earlier one (Reference.Cached).
//
// # Merged records
//
// With merged, a write asks for the record before it is made (Write.Merged). That is
// for tables with the columns merged and masterid, and not for create. Lookups that point
// at such tables, also those of a create, are asked in the same way: each is one of
// Write.References then, whatever form it has, and none of them Cached. A record that
// the key names is asked too, but the rule for it is reject, as a part of a key that
// holds below one record says nothing below another.
//
// Only mapped places of an event are read, and objects are never copied, so
// members such as @odata.bind within an event have no effect.
//
// # Errors
//
// Parse, Compile and their like for filters return every problem with file, line, column and field.
// Match, Map and Revision return *outcome.Error with verdict reject and reason
// invalid, or key_characters for a key with such a value and a lookup of which the
// GUID does not tell the table; or the context's error. Texts of errors hold names
// from the mapping and kinds and lengths of values, never values of the event,
// which may be personal data.
//
// KeyNeeds lists the alternate keys that a mapping relies on, declared or not, so that
// they can be defined before it compiles.
//
// Sources: Microsoft Learn, "Use an alternate key to reference a record",
// "Upsert a table row", "Associate and disassociate table rows", "Web API
// navigation properties", "Behavior and format of the date and time column",
// "Column data types in Dataverse"; the CEL language definition.
package mapping
