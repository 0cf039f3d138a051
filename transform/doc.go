// Package transform is the task type transformation: SQL in, XCom out. A task
// is one transaction of one or more statements on a SQLite or PostgreSQL
// database; what it reads of the run goes in as bound parameters (:xcom_fetch,
// :batch_id), and what its last statement gives is its XCom value.
//
// It is step 5 of the way of the data. A task that writes also writes a mark,
// in the same transaction: where its commit arrived and the record of it was
// lost, the next attempt finds the mark, takes the value from it and executes
// nothing.
//
// The way of one attempt: render (prepare.go), scan and split (package
// sqltext), bind (bind.go), run (sqlite.go, postgres.go), collect
// (result.go).
package transform
