// Package metadata is the history that people can ask with SQL: the tables
// xt_flow_executions, xt_task_executions and xt_operation_logs, in a SQLite
// file by default, or in PostgreSQL. It is step 8 of the way of the data: a
// projection that follows the ledger, writes in batches, and keeps its position
// in the transaction that writes the rows, so that each row is there exactly
// once whatever happens in between.
//
// The tables are a view. Nothing waits for them: a database that is down or
// full is behind, and catches up. They can be deleted, and are made again from
// the ledger with the same rows.
//
// The package also reads: any SELECT that a person or program asks (Query),
// bounded in time, rows and what it may touch, and the lists that commands
// show (Runs, Operations).
package metadata
