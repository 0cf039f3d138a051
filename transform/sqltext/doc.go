// Package sqltext reads SQL as far as a task needs it: it splits a text into its
// statements, finds the parameters that are written :name, and says of each
// statement whether it gives rows or may change something. It knows no database:
// what the statements mean is for the database to say.
package sqltext
