// Package locationdb copies the location service into a SQL table of Kamailio's
// schema, for other programs to read. It is a copy and no more: nothing is read
// back, and a database that is slow or away delays no REGISTER.
//
// What changed is noted by its AOR alone, so that many changes of one are written
// once, with what is true at that time. At the start, and after more had changed
// than can be noted, everything is written anew and what is gone is taken out.
package locationdb
