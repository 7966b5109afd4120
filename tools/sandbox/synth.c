/*
 * Synthetic people and claims.
 *
 * A set of varied claims (the templates) is written once, with runs of control bytes in place of
 * ids, dates and amounts. A line is then a copy of one template in which text of the same width
 * overwrites those runs; that is fast enough for gigabytes of data. Keys are in alphabetical order,
 * as Go writes a map (bcda-api 6.5).
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEMPLATES     64
#define UPDATED_WIDTH 29 /* of 2021-08-17T13:46:51.064-04:00 */
#define BB            "https://bluebutton.cms.gov/resources/"
#define CARIN         "http://hl7.org/fhir/us/carin-bb/"

/* A placeholder in a template is a run of one of these bytes, which says what belongs there. None
 * of them can occur in JSON text. */
enum mark {
    MARK_PATIENT = 1,
    MARK_CLAIM,
    MARK_GROUP,
    MARK_START,
    MARK_END,
    MARK_WEEKLY,
    MARK_AMOUNT,
    MARK_NPI,
    MARK_UPDATED
};

struct patch {
    size_t at;
    unsigned kind;
};

struct template
{
    struct buf text;
    struct patch *patch;
    size_t count;
};

struct synth {
    uint64_t seed;
    int version;
    bool envelope;
    char prefix[4];
    size_t patient_width;
    struct template t[TEMPLATES];
};

/* ---- random numbers ---- */

struct dice {
    uint64_t state;
};

static unsigned roll(struct dice *d, unsigned n)
{
    return (unsigned)(random_mix(d->state++) % n);
}

static int cents(struct dice *d)
{
    /* Many amounts are zero or whole. */
    switch (roll(d, 4)) {
    case 0:
        return 0;
    case 1:
        return (int)roll(d, 300) * 100;
    default:
        return (int)roll(d, 2000000);
    }
}

/* ---- meta.lastUpdated ---- */

/* lastUpdated of the resources of day 0. */
static const struct {
    const char *type;
    const char *text;
    int64_t ms;
} first_updates[] = {
    {"Patient", "2021-08-17T13:43:00.037-04:00", 1629222180037},
    {"Coverage", "2021-08-17T13:43:00.037-04:00", 1629222180037},
    {"Claim", "2021-06-01T13:25:01.145-04:00", 1622568301145},
    {"ClaimResponse", "2021-06-01T13:25:01.145-04:00", 1622568301145},
    {"ExplanationOfBenefit", "2021-08-17T13:46:51.064-04:00", 1629222411064},
};

#define FIRST_UPDATES (sizeof first_updates / sizeof *first_updates)

static size_t find_first_update(const char *type)
{
    size_t i = 0;

    while (i < FIRST_UPDATES - 1 && strcmp(first_updates[i].type, type) != 0)
        i++;
    return i;
}

int64_t synth_updated(const char *type, unsigned day)
{
    return day ? people_change_time(day) : first_updates[find_first_update(type)].ms;
}

static void updated_text(const char *type, unsigned day, char out[UPDATED_WIDTH + 1])
{
    const long west = 4 * 3600;
    time_t t = (time_t)(people_change_time(day) / 1000) - west;
    struct tm tm;
    char text[24];

    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (day)
        snprintf(out, UPDATED_WIDTH + 1, "%.19s.000-04:00", text);
    else
        snprintf(out, UPDATED_WIDTH + 1, "%s", first_updates[find_first_update(type)].text);
}

/* ---- vocabularies ---- */

struct word {
    const char *code;
    const char *display;
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct word icd10[] = {
    {"J208", "ACUTE BRONCHITIS DUE TO OTHER SPECIFIED ORGANISMS"},
    {"R0902", "HYPOXEMIA"},
    {"E785", "\"HYPERLIPIDEMIA, UNSPECIFIED\""},
    {"E669", "\"OBESITY, UNSPECIFIED\""},
    {"I10", "ESSENTIAL (PRIMARY) HYPERTENSION"},
    {"Z6841", "BODY MASS INDEX [BMI] >= 40 & < 45, ADULT"},
    {"E119", "TYPE 2 DIABETES MELLITUS WITHOUT COMPLICATIONS"},
    {"N183", "CHRONIC KIDNEY DISEASE, STAGE 3 (MODERATE)"},
    {"M545", "LOW BACK PAIN"},
    {"F0280", "DEMENTIA IN OTHER DISEASES CLASSIFIED ELSEWHERE"},
    {"I4891", "UNSPECIFIED ATRIAL FIBRILLATION"},
    {"J449", "CHRONIC OBSTRUCTIVE PULMONARY DISEASE, UNSPECIFIED"},
    {"K219", "GASTRO-ESOPHAGEAL REFLUX DISEASE WITHOUT ESOPHAGITIS"},
    {"S72001A", "FRACTURE OF UNSPECIFIED PART OF NECK OF RIGHT FEMUR, INITIAL ENCOUNTER"},
};

static const struct word claim_types[] = {
    {"60", "Inpatient claim"},
    {"40", "Hospital Outpatient claim"},
    {"71", "Local carrier non-durable medical equipment, prosthetics, orthotics, and supplies "
           "(DMEPOS) claim"},
    {"20", "Non swing bed Skilled Nursing Facility (SNF) claim"},
    {"10", "Home Health Agency (HHA) claim"},
    {"50", "Hospice claim"},
};

static const struct word eob_types[] = {
    {"INPATIENT", "inpatient"},
    {"OUTPATIENT", "outpatient"},
    {"CARRIER", "carrier"},
    {"SNF", "snf"},
    {"HHA", "hha"},
    {"HOSPICE", "hospice"},
};

static const struct word amounts[] = {
    {"ime_op_clm_val_amt", "Operating Indirect Medical Education (IME) Amount"},
    {"dsh_op_clm_val_amt", "Operating Disproportionate Share (DSH) Amount"},
    {"clm_pass_thru_per_diem_amt", "Claim Pass Thru Per Diem Amount"},
    {"nch_profnl_cmpnt_chrg_amt", "Professional Component Charge Amount"},
    {"clm_tot_pps_cptl_amt", "Claim Total PPS Capital Amount"},
    {"nch_bene_ip_ddctbl_amt", "NCH Beneficiary Inpatient (or other Part A) Deductible Amount"},
    {"nch_bene_pta_coinsrnc_lblty_amt", "NCH Beneficiary Part A Coinsurance Liability Amount"},
    {"nch_ip_ncvrd_chrg_amt", "NCH Inpatient(or other Part A) Non-covered Charge Amount"},
    {"nch_ip_tot_ddctn_amt", "NCH Inpatient (or other Part A) Total Deductible/Coinsurance Amount"},
    {"clm_pps_cptl_dsprprtnt_shr_amt", "Claim PPS Capital Disproportionate Share Amount"},
    {"clm_pps_cptl_excptn_amt", "Claim PPS Capital Exception Amount"},
    {"clm_pps_cptl_fsp_amt", "Claim PPS Capital Federal Specific Portion (FSP) Amount"},
    {"nch_drg_outlier_aprvd_pmt_amt", "NCH DRG Outlier Approved Payment Amount"},
    {"nch_bene_blood_ddctbl_lblty_am", "NCH Beneficiary Blood Deductible Liability Amount"},
    {"prpayamt", "NCH Primary Payer (if not Medicare) Claim Paid Amount"},
};

static const struct word adjudications[] = {
    {"rev_cntr_rate_amt", "Revenue Center Rate Amount"},
    {"rev_cntr_tot_chrg_amt", "Revenue Center Total Charge Amount"},
    {"rev_cntr_ncvrd_chrg_amt", "Revenue Center Non-Covered Charge Amount"},
    {"line_coinsrnc_amt", "Line Beneficiary Coinsurance Amount"},
    {"line_bene_ptb_ddctbl_amt", "Line Beneficiary Part B Deductible Amount"},
    {"line_nch_pmt_amt", "Line NCH Medicare Payment Amount"},
    {"line_sbmtd_chrg_amt", "Line Submitted Charge Amount"},
    {"line_alowd_chrg_amt", "Line Allowed Charge Amount"},
};

static const struct word information[] = {
    {"clm_ip_admsn_type_cd", "Claim Inpatient Admission Type Code"},
    {"clm_src_ip_admsn_cd", "Claim Source Inpatient Admission Code"},
    {"clm_mco_pd_sw", "Claim MCO Paid Switch"},
    {"clm_freq_cd", "Claim Frequency Code"},
    {"ptnt_dschrg_stus_cd", "Patient Discharge Status Code"},
    {"nch_prmry_pyr_cd", "NCH Primary Payer Code (if not Medicare)"},
    {"clm_drg_cd", "Claim Diagnosis Related Group Code (or MS-DRG Code)"},
};

static const char principal[] =
    "The single medical diagnosis that is most relevant to the patient's chief complaint "
    "or need for treatment.";
static const char near_line[] =
    "Part A institutional claim record (inpatient [IP], skilled nursing facility [SNF], "
    "hospice [HOS], or home health agency [HHA])";

/* ---- one claim ---- */

struct writer {
    struct buf *b;
    struct dice d;
    const struct synth *s;
    bool r4;
};

static void mark(struct writer *w, enum mark kind, size_t width)
{
    buf_fill(w->b, (char)kind, width);
}

static void comma(struct writer *w, unsigned i)
{
    buf_str(w->b, i ? "," : "");
}

static void money(struct writer *w)
{
    if (w->r4)
        json_fmt(w->b, "{'currency':'USD','value':%m}", cents(&w->d));
    else
        json_fmt(w->b, "{'code':'USD','system':'urn:iso:std:iso:4217','value':%m}", cents(&w->d));
}

/* Writes {"coding":[{"code":...,"display":...,"system":...}]} with a system of Blue Button. */
static void variable(struct writer *w, const struct word *word, const char *system)
{
    json_fmt(w->b,
             "{'coding':[{'code':'" BB "variables/%s','display':'%s','system':'" BB
             "codesystem/%s'}]}",
             word->code, word->display, system);
}

static void write_balance(struct writer *w)
{
    unsigned n = 2 + roll(&w->d, 3), from = roll(&w->d, COUNT(amounts));

    json_fmt(
        w->b,
        "'benefitBalance':[{'category':{'coding':[{'code':'%s','display':'%s','system':'%s'}]},"
        "'financial':[",
        w->r4 ? "1" : "medical", w->r4 ? "Medical Care" : "Medical Health Coverage",
        w->r4 ? "http://terminology.hl7.org/CodeSystem/ex-benefitcategory"
              : "http://hl7.org/fhir/benefit-category");
    for (unsigned i = 0; i < n; i++) {
        comma(w, i);
        buf_str(w->b, "{\"type\":");
        variable(w, &amounts[(from + i) % COUNT(amounts)], "benefit-balance");
        if (w->r4) {
            buf_str(w->b, ",\"usedMoney\":");
            money(w);
            buf_str(w->b, "}");
        } else {
            json_fmt(w->b, ",'usedUnsignedInt':%u}", roll(&w->d, 30));
        }
    }
    buf_str(w->b, "]}]");
}

static void write_period(struct writer *w)
{
    buf_str(w->b, ",\"billablePeriod\":{\"end\":\"");
    mark(w, MARK_END, 10);
    json_fmt(w->b, "','extension':[{'url':'" BB
                   "variables/claim_query_cd','valueCoding':{'code':'3','display':"
                   "'Final bill','system':'" BB "variables/claim_query_cd'}}],'start':'");
    mark(w, MARK_START, 10);
    buf_str(w->b, "\"}");
}

static void write_care_team(struct writer *w)
{
    unsigned n = 1 + roll(&w->d, 3);

    buf_str(w->b, ",\"careTeam\":[");
    for (unsigned i = 0; i < n; i++) {
        comma(w, i);
        json_fmt(w->b,
                 "{'provider':{'identifier':{'system':'http://hl7.org/fhir/sid/us-npi','value':'");
        mark(w, MARK_NPI, 10);
        json_fmt(w->b,
                 "'}},'role':{'coding':[{'code':'%s','display':'%s','system':'http://hl7.org/fhir/"
                 "claimcareteamrole'}]}"
                 ",'sequence':%u}",
                 i ? "assist" : "primary", i ? "Assisting Provider" : "Primary provider", i + 1);
    }
    buf_str(w->b, "]");
}

static void write_diagnosis(struct writer *w)
{
    unsigned n = 1 + roll(&w->d, 7), from = roll(&w->d, COUNT(icd10));

    if (w->r4)
        buf_str(w->b, ",\"created\":\"2021-08-17T13:46:51-04:00\"");
    buf_str(w->b, ",\"diagnosis\":[");
    for (unsigned i = 0; i < n; i++) {
        const struct word *icd = &icd10[(from + i) % COUNT(icd10)];

        comma(w, i);
        json_fmt(w->b,
                 "{'diagnosisCodeableConcept':{'coding':[{'code':'%s','display':'%s','system':"
                 "'http://hl7.org/fhir/sid/icd-10'}]},'sequence':%u",
                 icd->code, icd->display, i + 1);
        if (i < 2)
            json_fmt(w->b,
                     ",'type':[{'coding':[{'code':'principal','display':'%s','system':'" BB
                     "codesystem/diagnosis-type'}]}]",
                     principal);
        buf_str(w->b, "}");
    }
    buf_str(w->b, "]");
}

static void write_extensions(struct writer *w)
{
    unsigned n = 4 + roll(&w->d, 6);

    buf_str(w->b, ",\"extension\":[");
    for (unsigned i = 0; i < n; i++) {
        comma(w, i);
        json_fmt(w->b, "{'url':'" BB "variables/%s','valueMoney':", amounts[i].code);
        money(w);
        buf_str(w->b, "}");
    }
    buf_str(w->b, "]");
}

static void write_identity(struct writer *w, unsigned kind)
{
    if (!w->r4) {
        json_fmt(w->b, ",'facility':{'extension':[{'url':'" BB
                       "variables/clm_fac_type_cd','valueCoding':{'code':'1',"
                       "'display':'Hospital','system':'" BB
                       "variables/clm_fac_type_cd'}}],'identifier':{'system':"
                       "'http://hl7.org/fhir/sid/us-npi','value':'");
        mark(w, MARK_NPI, 10);
        buf_str(w->b, "\"}},\"hospitalization\":{\"end\":\"");
        mark(w, MARK_END, 10);
        buf_str(w->b, "\",\"start\":\"");
        mark(w, MARK_START, 10);
        buf_str(w->b, "\"}");
    }
    json_fmt(w->b, ",'id':'%s-", eob_types[kind].display);
    mark(w, MARK_CLAIM, 11);
    json_fmt(w->b, "','identifier':[{'system':'" BB "variables/clm_id','value':'");
    mark(w, MARK_CLAIM, 11);
    json_fmt(w->b, "'},{'system':'" BB "identifier/claim-group','value':'");
    mark(w, MARK_GROUP, 11);
    buf_str(w->b, "\"}]");
}

/* Writes the member `information` (STU3) or `supportingInfo` (R4). */
static void write_information(struct writer *w)
{
    unsigned n = 1 + roll(&w->d, 5);

    json_fmt(w->b,
             ",'%s':[{'category':{'coding':[{'code':'" BB "variables/nch_wkly_proc_dt','display':"
             "'NCH Weekly Claim Processing Date','system':'" BB
             "codesystem/information'}]},'sequence':1,"
             "'timingDate':'",
             w->r4 ? "supportingInfo" : "information");
    mark(w, MARK_WEEKLY, 10);
    buf_str(w->b, "\"}");
    for (unsigned i = 0; i < n; i++) {
        buf_str(w->b, ",{\"category\":");
        variable(w, &information[i], "information");
        json_fmt(w->b,
                 ",'code':{'coding':[{'code':'%u','system':'" BB "variables/%s'}]},'sequence':%u}",
                 roll(&w->d, 9), information[i].code, i + 2);
    }
    buf_str(w->b, "]");
}

static void write_insurance(struct writer *w)
{
    buf_str(w->b, w->r4 ? ",\"insurance\":[{\"coverage\":{\"reference\":\"Coverage/part-a-"
                        : ",\"insurance\":{\"coverage\":{\"reference\":\"Coverage/part-a-");
    mark(w, MARK_PATIENT, w->s->patient_width);
    buf_str(w->b, w->r4 ? "\"},\"focal\":true}],\"insurer\":{\"identifier\":{\"value\":\"CMS\"}}"
                        : "\"}}");
}

static void write_item(struct writer *w, unsigned i)
{
    unsigned n = 2 + roll(&w->d, 4), from = roll(&w->d, COUNT(adjudications));

    comma(w, i);
    buf_str(w->b, "{\"adjudication\":[");
    for (unsigned k = 0; k < n; k++) {
        comma(w, k);
        buf_str(w->b, "{\"amount\":");
        money(w);
        buf_str(w->b, ",\"category\":");
        variable(w, &adjudications[(from + k) % COUNT(adjudications)], "adjudication");
        buf_str(w->b, "}");
    }
    json_fmt(w->b,
             "],'locationAddress':{'state':'%u'},'quantity':{'value':%u},'revenue':{'coding':[{'"
             "code':'%r','display':"
             "'Total charge','system':'" BB
             "variables/rev_cntr'}]},'sequence':%u,'servicedPeriod':{'end':'",
             10 + roll(&w->d, 40), roll(&w->d, 20), roll(&w->d, 2) ? "0001" : "0300", i + 1);
    mark(w, MARK_END, 10);
    buf_str(w->b, "\",\"start\":\"");
    mark(w, MARK_START, 10);
    buf_str(w->b, "\"}}");
}

/* Returns the number of items of a claim, which mostly decides the length of its line
 * (bcda-api 6.5): a few long claims are among many short ones. */
static unsigned item_count(struct writer *w, unsigned index)
{
    if (w->s->version == 3)
        return index % 16 == 5 ? 50 + roll(&w->d, 12) : 4 + roll(&w->d, 30);
    return index % 16 == 5 ? 10 + roll(&w->d, 6) : roll(&w->d, 2) + 1;
}

static void write_claim_items(struct writer *w, unsigned index)
{
    unsigned n = item_count(w, index);

    buf_str(w->b, ",\"item\":[");
    for (unsigned i = 0; i < n; i++)
        write_item(w, i);
    buf_str(w->b, "]");
}

static void write_payment(struct writer *w)
{
    buf_str(w->b, ",\"meta\":{\"lastUpdated\":\"");
    mark(w, MARK_UPDATED, UPDATED_WIDTH);
    buf_str(w->b, "\"");
    if (w->r4)
        buf_str(w->b,
                ",\"profile\":[\"" CARIN "StructureDefinition/C4BB-ExplanationOfBenefit-Inpatient-"
                "Institutional\"]");
    buf_str(
        w->b,
        w->r4 ? "},\"outcome\":\"complete\",\"patient\":{\"reference\":\"Patient/"
              : "},\"organization\":{\"identifier\":{\"system\":\"http://hl7.org/fhir/sid/us-npi\","
                "\"value\":\"8886687531\"}},\"patient\":{\"reference\":\"Patient/");
    mark(w, MARK_PATIENT, w->s->patient_width);
    json_fmt(w->b, "'},'payment':{'amount':{%r'value':",
             w->r4 ? "\"currency\":\"USD\","
                   : "\"code\":\"USD\",\"system\":\"urn:iso:std:iso:4217\",");
    mark(w, MARK_AMOUNT, 8);
    buf_str(w->b, "}}");
}

static void write_procedures(struct writer *w)
{
    unsigned n = roll(&w->d, 3);

    if (n == 0)
        return;
    buf_str(w->b, ",\"procedure\":[");
    for (unsigned i = 0; i < n; i++) {
        comma(w, i);
        buf_str(w->b, "{\"date\":\"");
        mark(w, MARK_START, 10);
        json_fmt(
            w->b,
            "T00:00:00-04:00','procedureCodeableConcept':{'coding':[{'code':'BW03ZZZ','display':"
            "'PLAIN RADIOGRAPHY OF "
            "CHEST','system':'http://hl7.org/fhir/sid/icd-10'}]},'sequence':%u}",
            i + 1);
    }
    buf_str(w->b, "]");
}

static void write_end(struct writer *w, unsigned kind)
{
    json_fmt(w->b,
             ",'provider':{'identifier':{'system':'" BB
             "variables/prvdr_num','value':'%u'}},'resourceType':"
             "'ExplanationOfBenefit','status':'active'",
             100000 + roll(&w->d, 800000));
    if (w->r4)
        write_information(w);
    json_fmt(w->b, w->r4 ? ",'total':[{'amount':{'currency':'USD','value':"
                         : ",'totalCost':{'code':'USD','system':'urn:iso:std:iso:4217','value':");
    mark(w, MARK_AMOUNT, 8);
    if (w->r4)
        json_fmt(w->b, "},'category':{'coding':[{'code':'clm_tot_chrg_amt','display':'Claim Total "
                       "Charge Amount',"
                       "'system':'" BB "codesystem/adjudication'}]}}]");
    else
        buf_str(w->b, "}");
    json_fmt(w->b,
             ",'type':{'coding':[{'code':'%s','display':'%s','system':'" BB
             "variables/nch_clm_type_cd'},{'code':'%s',"
             "'system':'" BB
             "codesystem/eob-type'},{'code':'institutional','display':'Institutional','system':"
             "'http://hl7.org/fhir/ex-claimtype'},{'code':'V','display':'%s','system':'" BB
             "variables/nch_near_line_rec_ident_cd'}]}%r}",
             claim_types[kind].code, claim_types[kind].display, eob_types[kind].code, near_line,
             w->r4 ? ",\"use\":\"claim\"" : "");
}

static void write_claim(struct writer *w, unsigned index)
{
    unsigned kind = index % COUNT(claim_types);

    if (w->s->envelope) {
        json_fmt(w->b, "{'fullUrl':'https:///v1/fhir/ExplanationOfBenefit/%s-",
                 eob_types[kind].display);
        mark(w, MARK_CLAIM, 11);
        buf_str(w->b, "\",\"resource\":");
    }
    buf_str(w->b, "{");
    write_balance(w);
    write_period(w);
    write_care_team(w);
    write_diagnosis(w);
    write_extensions(w);
    write_identity(w, kind);
    if (!w->r4)
        write_information(w);
    write_insurance(w);
    write_claim_items(w, index);
    write_payment(w);
    write_procedures(w);
    write_end(w, kind);
    if (w->s->envelope)
        buf_str(w->b, "}");
}

/* ---- templates ---- */

static void find_patches(struct template *t)
{
    size_t cap = 0;

    for (size_t i = 0; i < t->text.len; i++) {
        unsigned char c = (unsigned char)t->text.p[i];

        if (c == 0 || c > MARK_UPDATED || (i && (unsigned char)t->text.p[i - 1] == c))
            continue;
        if (t->count == cap) {
            cap = cap ? cap * 2 : 32;
            t->patch = xrealloc(t->patch, cap * sizeof *t->patch);
        }
        t->patch[t->count++] = (struct patch){i, c};
    }
}

struct synth *synth_new(uint64_t seed, int version, bool envelope, const char *patient_prefix)
{
    struct synth *s = xcalloc(1, sizeof *s);

    s->seed = seed;
    s->version = version;
    s->envelope = envelope;
    strncpy(s->prefix, patient_prefix, sizeof s->prefix - 1);
    s->patient_width = strlen(s->prefix) + 13;
    for (unsigned i = 0; i < TEMPLATES; i++) {
        struct writer w = {.b = &s->t[i].text, .s = s, .r4 = version > 1};

        w.d.state = random_mix(seed * TEMPLATES + i);
        write_claim(&w, i);
        find_patches(&s->t[i]);
    }
    return s;
}

void synth_free(struct synth *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < TEMPLATES; i++) {
        buf_free(&s->t[i].text);
        free(s->t[i].patch);
    }
    free(s);
}

/* ---- lines ---- */

static void put_digits(char *out, size_t width, uint64_t n)
{
    while (width--) {
        out[width] = (char)('0' + n % 10);
        n /= 10;
    }
}

/* Writes a date. Its day is at most 28, so that no calendar is needed. */
static void put_date(char *out, uint64_t n, unsigned first_day)
{
    memcpy(out, "20", 2);
    put_digits(out + 2, 2, 14 + n % 7);
    out[4] = '-';
    put_digits(out + 5, 2, 1 + n / 7 % 12);
    out[7] = '-';
    put_digits(out + 8, 2, first_day + n / 84 % 9);
}

static void put_patient(const struct synth *s, char *out, unsigned patient)
{
    size_t n = strlen(s->prefix);

    memcpy(out, s->prefix, n);
    put_digits(out + n, 13, patient + 1);
}

struct claim {
    unsigned patient, day;
    uint64_t id, chance;
};

static void apply(const struct synth *s, char *at, unsigned kind, const struct claim *c)
{
    uint64_t id = c->id, chance = c->chance;
    char updated[UPDATED_WIDTH + 1];

    switch (kind) {
    case MARK_PATIENT:
        put_patient(s, at, c->patient);
        break;
    case MARK_CLAIM:
        put_digits(at, 11, id);
        break;
    case MARK_GROUP:
        put_digits(at, 11, id / 2 + 50000000000u);
        break;
    case MARK_START:
        put_date(at, chance, 1);
        break;
    case MARK_END:
        put_date(at, chance, 10);
        break;
    case MARK_WEEKLY:
        put_date(at, chance, 20);
        break;
    case MARK_AMOUNT: /* neither the first nor the last digit is 0, because Go would not write such
                         a 0 */
        put_digits(at, 5, 10000 + chance % 90000);
        at[5] = '.';
        put_digits(at + 6, 2, chance / 90000 % 10 * 10 + 1 + chance / 900000 % 9);
        break;
    case MARK_UPDATED:
        updated_text("ExplanationOfBenefit", c->day, updated);
        memcpy(at, updated, UPDATED_WIDTH);
        break;
    default:
        put_digits(at, 10, 1000000000u + chance % 9000000000u);
        break;
    }
}

static uint64_t claim_number(unsigned patient, unsigned long long claim)
{
    return (uint64_t)patient * 1000000u + claim + 1;
}

static uint64_t claim_chance(const struct synth *s, uint64_t id)
{
    return random_mix(s->seed ^ random_mix(id));
}

void synth_eob(const struct synth *s, struct buf *b, unsigned patient, unsigned long long claim,
               unsigned day)
{
    struct claim c = {.patient = patient, .day = day, .id = claim_number(patient, claim)};
    uint64_t chance = claim_chance(s, c.id);
    /* A change keeps the template, because the id depends on it. */
    const struct template *t = &s->t[chance % TEMPLATES];

    c.chance = day ? random_mix(chance + day) >> 6 : chance >> 6;
    b->len = 0;
    buf_add(b, t->text.p, t->text.len);
    for (size_t i = 0; i < t->count; i++)
        apply(s, b->p + t->patch[i].at, t->patch[i].kind, &c);
}

/* ---- the small types ---- */

static const char *const families[] = {"Schneider199", "Tromp100", "O'Connell601",
                                       "Doe",          "Núñez307", "Kuhic920"};
static const char *const givens[] = {"Werner409", "Franklyn361", "Jane",
                                     "Maria",     "José871",     "Ailene"};
static const struct word races[] = {
    {"1", "White"}, {"2", "Black"}, {"4", "Asian"}, {"0", "Unknown"}};

static void mbi(char out[12], unsigned patient)
{
    memcpy(out, "1S00E00AA00", 12);
    put_digits(out + 2, 2, patient / 10000 % 100);
    put_digits(out + 5, 2, patient / 100 % 100);
    put_digits(out + 9, 2, patient % 100);
}

static void write_hash(struct buf *b, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++)
        buf_printf(b, "%016llx", (unsigned long long)random_mix(seed + i));
}

static void write_patient_extension(const struct synth *s, struct buf *b, const struct word *race)
{
    json_fmt(b,
             ",'extension':[{'url':'" BB
             "variables/race','valueCoding':{'code':'%s','display':'%s','system':'" BB
             "variables/race'}}",
             race->code, race->display);
    if (s->version > 1)
        json_fmt(b, ",{'extension':[{'url':'ombCategory','valueCoding':{'code':'UNK','display':'"
                    "Unknown','system':"
                    "'http://terminology.hl7.org/CodeSystem/"
                    "v3-NullFlavor'}},{'url':'text','valueString':'Unknown'}],"
                    "'url':'http://hl7.org/fhir/us/core/StructureDefinition/us-core-race'}");
    if (!s->envelope)
        json_fmt(b, ",{'url':'" BB "variables/rfrnc_yr','valueDate':'2021'}");
    buf_str(b, "]");
}

static void write_patient_ids(const struct synth *s, struct buf *b, unsigned patient,
                              const char *id)
{
    char number[12];

    mbi(number, patient);
    json_fmt(b,
             ",'id':'%s','identifier':[{'system':'" BB
             "variables/bene_id','value':'%s'},{'system':'" BB "identifier/%s','value':'",
             id, id, s->envelope ? "hicn-hash" : "mbi-hash");
    write_hash(b, s->seed * 1000003u + patient);
    buf_str(b, "\"}");
    if (!s->envelope)
        json_fmt(b,
                 ",{'extension':[{'url':'" BB
                 "codesystem/identifier-currency','valueCoding':{'code':'current',"
                 "'display':'Current','system':'" BB "codesystem/identifier-currency'}}],'system':"
                 "'http://hl7.org/fhir/sid/us-mbi','value':'%s'}",
                 number);
    buf_str(b, "]");
}

static void write_meta(const struct synth *s, struct buf *b, const char *type, unsigned day)
{
    char updated[UPDATED_WIDTH + 1];

    updated_text(type, day, updated);
    if (!s->envelope)
        json_fmt(b, ",'meta':{'lastUpdated':'%s'}", updated);
}

/* Writes another address after each change. */
static void write_address(const struct synth *s, struct buf *b, unsigned patient, unsigned day)
{
    struct dice d = {random_mix(s->seed * 7919 + patient + ((uint64_t)day << 32))};
    /* The order in which a compiler evaluates arguments is its own. */
    unsigned district = 100 + roll(&d, 900), code = 10000 + roll(&d, 90000),
             state = 10 + roll(&d, 40);

    json_fmt(b, "{'address':[{'district':'%u','postalCode':'%u','state':'%u'}]", district, code,
             state);
}

static void write_patient(const struct synth *s, struct buf *b, unsigned patient, unsigned day,
                          const char *id)
{
    struct dice d = {random_mix(s->seed * 104729 + patient)};
    unsigned year = 20 + roll(&d, 40), june = roll(&d, 2), female = roll(&d, 2);
    unsigned race = roll(&d, COUNT(races)), family = roll(&d, COUNT(families));
    unsigned given = roll(&d, COUNT(givens));

    write_address(s, b, patient, day);
    json_fmt(b, ",'birthDate':'19%u-%r-01'", year, june ? "06" : "11");
    write_patient_extension(s, b, &races[race]);
    json_fmt(b, ",'gender':'%s'", female ? "female" : "male");
    write_patient_ids(s, b, patient, id);
    write_meta(s, b, "Patient", day);
    json_fmt(b, ",'name':[{'family':'%s','given':['%s'],'use':'usual'}],'resourceType':'Patient'}",
             families[family], givens[given]);
}

/* The apostrophe is U+2019, as in the real files. */
#define OASI "Old age and survivor\xe2\x80\x99s insurance (OASI)"

static const struct word coverage_parts[] = {
    {"Part A", "part-a"}, {"Part B", "part-b"}, {"Part C", "part-c"}, {"Part D", "part-d"}};

static void coverage_extension(struct buf *b, const char *name, const char *code,
                               const char *display)
{
    json_fmt(b,
             "{'url':'" BB "variables/%s','valueCoding':{'code':'%s','display':'%s','system':'" BB
             "variables/%s'}}",
             name, code, display, name);
}

static void write_coverage(const struct synth *s, struct buf *b, unsigned part, unsigned day,
                           const char *id)
{
    const struct word *p = &coverage_parts[part];

    json_fmt(b, "{'beneficiary':{'reference':'Patient/%s'}", id);
    if (part != 2) {
        buf_str(b, ",\"extension\":[");
        coverage_extension(b, "ms_cd", "10", "Aged without end-stage renal disease (ESRD)");
        if (part == 0) {
            buf_str(b, ",");
            coverage_extension(b, "orec", "0", OASI);
            buf_str(b, ",");
            coverage_extension(b, "crec", "0", OASI);
            buf_str(b, ",");
            coverage_extension(b, "esrd_ind", "0", "the beneficiary does not have ESRD");
        }
        if (part < 2) {
            buf_str(b, ",");
            coverage_extension(b, part ? "b_trm_cd" : "a_trm_cd", "0", "Not Terminated");
        }
        buf_str(b, "]");
    }
    if (s->version == 1)
        json_fmt(b, ",'grouping':{'subGroup':'Medicare','subPlan':'%s'}", p->code);
    json_fmt(b, ",'id':'%s-%s'", p->display, id);
    write_meta(s, b, "Coverage", day);
    if (day)
        json_fmt(b, ",'order':%u", day);
    if (s->version > 1)
        json_fmt(b,
                 ",'payor':[{'identifier':{'value':'Centers for Medicare and Medicaid Services'}}],"
                 "'relationship':{'coding':[{'code':'self'}]}");
    json_fmt(b, ",'resourceType':'Coverage','status':'active'");
    if (s->version > 1)
        json_fmt(b, ",'subscriberId':'%s'", id);
    json_fmt(b, ",'type':{'coding':[{'code':'%s','system':'Medicare'}]}}", p->code);
}

static void write_claim_ids(struct buf *b, const char *claim)
{
    json_fmt(b,
             ",'id':'f-%s','identifier':[{'system':'https://dcgeo.cms.gov/resources/variables/"
             "dcn','type':{'coding':"
             "[{'code':'uc','display':'Unique Claim ID','system':'" CARIN
             "CodeSystem/C4BBIdentifierType'}]},'value':"
             "'%s'}]",
             claim, claim);
}

static void write_claim_patient(struct buf *b, const char *number)
{
    json_fmt(
        b,
        ",'patient':{'identifier':{'system':'http://hl7.org/fhir/sid/"
        "us-mbi','type':{'coding':[{'code':'MC',"
        "'display':'%s','system':'http://terminology.hl7.org/CodeSystem/v2-0203'}]},'value':'%s'}}",
        "Patient's Medicare number", number);
}

static void write_claim_type(struct buf *b)
{
    json_fmt(b, "'type':{'coding':[{'code':'FISS','system':'https://dcgeo.cms.gov/resources/"
                "codesystem/rda-type'},"
                "{'code':'institutional','display':'Institutional','system':"
                "'http://terminology.hl7.org/CodeSystem/claim-type'}]},'use':'claim'}");
}

static void write_partial_claim(struct buf *b, const char *claim, const char *number, bool response,
                                unsigned day)
{
    char updated[UPDATED_WIDTH + 1];

    updated_text(response ? "ClaimResponse" : "Claim", day, updated);
    json_fmt(b, "{'created':'2021-06-28T09:56:41-04:00'");
    if (response && day)
        json_fmt(b, ",'disposition':'Adjustment %u'", day);
    if (response)
        json_fmt(
            b,
            ",'extension':[{'url':'https://dcgeo.cms.gov/resources/variables/"
            "fiss-status','valueCoding':"
            "{'code':'S','display':'Suspend','system':'https://dcgeo.cms.gov/resources/variables/"
            "fiss-status'}}]");
    write_claim_ids(b, claim);
    if (response)
        json_fmt(b, ",'insurer':{'identifier':{'value':'CMS'}}");
    json_fmt(b, ",'meta':{'lastUpdated':'%s'}", updated);
    if (response)
        json_fmt(b, ",'outcome':'partial'");
    write_claim_patient(b, number);
    if (response)
        json_fmt(b,
                 ",'request':{'reference':'Claim/"
                 "f-%s'},'resourceType':'ClaimResponse','status':'active',",
                 claim);
    else
        json_fmt(b,
                 ",'priority':{'coding':[{'code':'normal','display':'Normal','system':"
                 "'http://terminology.hl7.org/CodeSystem/"
                 "processpriority'}]},'resourceType':'Claim','status':"
                 "'active','total':{'currency':'USD','value':%m},",
                 355432 + (int)day * 100);
    write_claim_type(b);
}

static void partial_claim_number(unsigned patient, char out[24])
{
    put_digits(out, 14, 12345000000000u + patient);
    memcpy(out + 14, "NTA", sizeof "NTA");
}

static void write_resource(const struct synth *s, struct buf *b, const char *type, unsigned patient,
                           unsigned number, unsigned day, const char *id)
{
    char claim[24], member[12];

    if (strcmp(type, "Patient") == 0) {
        write_patient(s, b, patient, day, id);
    } else if (strcmp(type, "Coverage") == 0) {
        write_coverage(s, b, number, day, id);
    } else {
        partial_claim_number(patient, claim);
        mbi(member, patient);
        write_partial_claim(b, claim, member, strcmp(type, "ClaimResponse") == 0, day);
    }
}

bool synth_other(const struct synth *s, struct buf *b, const char *type, unsigned patient,
                 unsigned number, unsigned day)
{
    bool coverage = strcmp(type, "Coverage") == 0;
    char id[24] = "";

    if (number >= (coverage ? COUNT(coverage_parts) : 1))
        return false;
    put_patient(s, id, patient);
    b->len = 0;
    if (s->envelope)
        json_fmt(b, "{'fullUrl':'https:///v1/fhir/%s/%r%r%s','resource':", type,
                 coverage ? coverage_parts[number].display : "", coverage ? "-" : "", id);
    write_resource(s, b, type, patient, number, day, id);
    if (s->envelope)
        buf_str(b, "}");
    return true;
}

static void eob_id(const struct synth *s, unsigned patient, unsigned number, char out[48])
{
    uint64_t claim = claim_number(patient, number);
    unsigned kind = (unsigned)(claim_chance(s, claim) % TEMPLATES % COUNT(claim_types));

    snprintf(out, 48, "%s-%011llu", eob_types[kind].display, (unsigned long long)claim);
}

bool synth_id(const struct synth *s, const char *type, unsigned patient, unsigned number,
              char out[48])
{
    bool coverage = strcmp(type, "Coverage") == 0;
    char id[24] = "";

    if (strcmp(type, "ExplanationOfBenefit") == 0) {
        eob_id(s, patient, number, out);
        return true;
    }
    if (number >= (coverage ? COUNT(coverage_parts) : 1))
        return false;
    put_patient(s, id, patient);
    if (coverage)
        snprintf(out, 48, "%s-%s", coverage_parts[number].display, id);
    else if (strcmp(type, "Patient") == 0)
        snprintf(out, 48, "%s", id);
    else {
        partial_claim_number(patient, id);
        snprintf(out, 48, "f-%s", id);
    }
    return true;
}
