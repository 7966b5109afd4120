/*
 * bcda/bcda.h - the API of libbcda, a client for CMS's Beneficiary Claims Data API and other FHIR
 * Bulk Data servers. Include only this header.
 *
 *   bcda_config *config;     server, credentials, options
 *   bcda_session *session;   the event engine; run it, or poll one descriptor and step it
 *   bcda_export *what;       which level, types, since when
 *   bcda_handlers *who;      callbacks for resources, files, the end; or pull with bcda_job_next()
 *   bcda_job *job;           token, kick-off, polling, downloads, decryption
 *
 * Sections cited as "bcda-api 5.1" are those of the server notes in doc/guide/server.md.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BCDA_BCDA_H
#define BCDA_BCDA_H

#include <bcda/batch.h>
#include <bcda/config.h>
#include <bcda/decoder.h>
#include <bcda/error.h>
#include <bcda/export.h>
#include <bcda/file.h>
#include <bcda/handlers.h>
#include <bcda/job.h>
#include <bcda/request.h>
#include <bcda/resource.h>
#include <bcda/session.h>
#include <bcda/types.h>
#include <bcda/version.h>

#endif
