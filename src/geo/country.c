/* SPDX-License-Identifier: Apache-2.0 */
#include "geo/geo.h"

#include <stdlib.h>
#include <string.h>

/*
 * ISO 3166-1 countries (and XK, which is not in the standard but in all address data), sorted by
 * code: continent and a rough centre, placed where most of the land or people are. Good to tell
 * Spain from Japan, not Kehl from Strasbourg. A country on two continents is on the one where
 * address databases put it (RU: EU; CY, KZ, TR: AS).
 */
static const struct country {
    char code[3], continent[3];
    float lat, lon;
} countries[] = {
    /* clang-format off */
    {"AD", "EU", 42.5f, 1.5f}, {"AE", "AS", 24.0f, 54.0f}, {"AF", "AS", 33.0f, 65.0f},
    {"AG", "NA", 17.1f, -61.8f}, {"AI", "NA", 18.2f, -63.1f}, {"AL", "EU", 41.0f, 20.0f},
    {"AM", "AS", 40.0f, 45.0f}, {"AO", "AF", -12.5f, 18.5f}, {"AQ", "AN", -82.0f, 0.0f},
    {"AR", "SA", -34.0f, -64.0f}, {"AS", "OC", -14.3f, -170.7f}, {"AT", "EU", 47.5f, 14.0f},
    {"AU", "OC", -27.0f, 133.0f}, {"AW", "NA", 12.5f, -70.0f}, {"AX", "EU", 60.2f, 20.0f},
    {"AZ", "AS", 40.5f, 47.5f}, {"BA", "EU", 44.0f, 18.0f}, {"BB", "NA", 13.2f, -59.5f},
    {"BD", "AS", 24.0f, 90.0f}, {"BE", "EU", 50.8f, 4.5f}, {"BF", "AF", 12.5f, -1.7f},
    {"BG", "EU", 42.8f, 25.3f}, {"BH", "AS", 26.0f, 50.5f}, {"BI", "AF", -3.4f, 29.9f},
    {"BJ", "AF", 9.5f, 2.3f}, {"BL", "NA", 17.9f, -62.8f}, {"BM", "NA", 32.3f, -64.8f},
    {"BN", "AS", 4.5f, 114.7f}, {"BO", "SA", -17.0f, -65.0f}, {"BQ", "NA", 12.2f, -68.3f},
    {"BR", "SA", -10.0f, -55.0f}, {"BS", "NA", 24.5f, -76.0f}, {"BT", "AS", 27.5f, 90.5f},
    {"BV", "AN", -54.4f, 3.4f}, {"BW", "AF", -22.0f, 24.0f}, {"BY", "EU", 53.5f, 28.0f},
    {"BZ", "NA", 17.2f, -88.6f}, {"CA", "NA", 56.0f, -106.0f}, {"CC", "AS", -12.1f, 96.9f},
    {"CD", "AF", -3.0f, 23.0f}, {"CF", "AF", 6.8f, 20.6f}, {"CG", "AF", -0.7f, 15.2f},
    {"CH", "EU", 46.9f, 8.2f}, {"CI", "AF", 7.6f, -5.5f}, {"CK", "OC", -21.2f, -159.8f},
    {"CL", "SA", -33.0f, -71.0f}, {"CM", "AF", 5.5f, 12.5f}, {"CN", "AS", 35.0f, 105.0f},
    {"CO", "SA", 4.0f, -73.0f}, {"CR", "NA", 10.0f, -84.0f}, {"CU", "NA", 21.6f, -79.0f},
    {"CV", "AF", 15.1f, -23.6f}, {"CW", "NA", 12.2f, -69.0f}, {"CX", "AS", -10.5f, 105.6f},
    {"CY", "AS", 35.0f, 33.0f}, {"CZ", "EU", 49.8f, 15.5f}, {"DE", "EU", 51.0f, 10.0f},
    {"DJ", "AF", 11.7f, 42.6f}, {"DK", "EU", 56.0f, 10.0f}, {"DM", "NA", 15.4f, -61.4f},
    {"DO", "NA", 18.8f, -70.4f}, {"DZ", "AF", 28.0f, 2.6f}, {"EC", "SA", -1.5f, -78.5f},
    {"EE", "EU", 58.7f, 25.5f}, {"EG", "AF", 27.0f, 30.0f}, {"EH", "AF", 24.5f, -13.0f},
    {"ER", "AF", 15.2f, 39.0f}, {"ES", "EU", 40.0f, -4.0f}, {"ET", "AF", 9.0f, 39.5f},
    {"FI", "EU", 63.0f, 26.0f}, {"FJ", "OC", -17.8f, 178.0f}, {"FK", "SA", -51.7f, -59.5f},
    {"FM", "OC", 6.9f, 158.2f}, {"FO", "EU", 62.0f, -7.0f}, {"FR", "EU", 46.5f, 2.5f},
    {"GA", "AF", -0.8f, 11.7f}, {"GB", "EU", 54.0f, -2.0f}, {"GD", "NA", 12.1f, -61.7f},
    {"GE", "AS", 42.0f, 43.5f}, {"GF", "SA", 4.0f, -53.0f}, {"GG", "EU", 49.5f, -2.6f},
    {"GH", "AF", 8.0f, -1.2f}, {"GI", "EU", 36.1f, -5.4f}, {"GL", "NA", 72.0f, -40.0f},
    {"GM", "AF", 13.4f, -15.5f}, {"GN", "AF", 10.5f, -10.8f}, {"GP", "NA", 16.2f, -61.5f},
    {"GQ", "AF", 1.7f, 10.4f}, {"GR", "EU", 39.0f, 22.0f}, {"GS", "AN", -54.4f, -36.6f},
    {"GT", "NA", 15.6f, -90.2f}, {"GU", "OC", 13.4f, 144.8f}, {"GW", "AF", 12.0f, -15.0f},
    {"GY", "SA", 5.0f, -59.0f}, {"HK", "AS", 22.3f, 114.2f}, {"HM", "AN", -53.1f, 73.5f},
    {"HN", "NA", 14.8f, -86.6f}, {"HR", "EU", 45.2f, 15.5f}, {"HT", "NA", 19.0f, -72.4f},
    {"HU", "EU", 47.2f, 19.4f}, {"ID", "AS", -3.0f, 118.0f}, {"IE", "EU", 53.2f, -8.0f},
    {"IL", "AS", 31.5f, 34.8f}, {"IM", "EU", 54.2f, -4.5f}, {"IN", "AS", 22.0f, 79.0f},
    {"IO", "AS", -6.3f, 71.9f}, {"IQ", "AS", 33.0f, 44.0f}, {"IR", "AS", 32.5f, 53.7f},
    {"IS", "EU", 65.0f, -18.5f}, {"IT", "EU", 42.8f, 12.8f}, {"JE", "EU", 49.2f, -2.1f},
    {"JM", "NA", 18.1f, -77.3f}, {"JO", "AS", 31.2f, 36.5f}, {"JP", "AS", 36.0f, 138.0f},
    {"KE", "AF", 0.5f, 38.0f}, {"KG", "AS", 41.5f, 74.7f}, {"KH", "AS", 12.6f, 105.0f},
    {"KI", "OC", 1.4f, 173.0f}, {"KM", "AF", -12.0f, 44.0f}, {"KN", "NA", 17.3f, -62.7f},
    {"KP", "AS", 40.0f, 127.0f}, {"KR", "AS", 36.5f, 127.8f}, {"KW", "AS", 29.3f, 47.6f},
    {"KY", "NA", 19.3f, -81.2f}, {"KZ", "AS", 48.0f, 67.0f}, {"LA", "AS", 18.5f, 103.8f},
    {"LB", "AS", 33.9f, 35.9f}, {"LC", "NA", 13.9f, -61.0f}, {"LI", "EU", 47.2f, 9.5f},
    {"LK", "AS", 7.7f, 80.7f}, {"LR", "AF", 6.5f, -9.4f}, {"LS", "AF", -29.6f, 28.2f},
    {"LT", "EU", 55.3f, 23.9f}, {"LU", "EU", 49.8f, 6.1f}, {"LV", "EU", 56.9f, 24.9f},
    {"LY", "AF", 27.0f, 18.0f}, {"MA", "AF", 31.8f, -7.0f}, {"MC", "EU", 43.7f, 7.4f},
    {"MD", "EU", 47.2f, 28.5f}, {"ME", "EU", 42.8f, 19.3f}, {"MF", "NA", 18.1f, -63.1f},
    {"MG", "AF", -19.4f, 46.7f}, {"MH", "OC", 7.1f, 171.2f}, {"MK", "EU", 41.6f, 21.7f},
    {"ML", "AF", 17.4f, -4.0f}, {"MM", "AS", 21.0f, 96.5f}, {"MN", "AS", 46.8f, 103.0f},
    {"MO", "AS", 22.2f, 113.6f}, {"MP", "OC", 15.2f, 145.7f}, {"MQ", "NA", 14.7f, -61.0f},
    {"MR", "AF", 20.3f, -10.4f}, {"MS", "NA", 16.7f, -62.2f}, {"MT", "EU", 35.9f, 14.4f},
    {"MU", "AF", -20.3f, 57.6f}, {"MV", "AS", 3.2f, 73.2f}, {"MW", "AF", -13.3f, 34.3f},
    {"MX", "NA", 23.9f, -102.5f}, {"MY", "AS", 3.8f, 109.7f}, {"MZ", "AF", -17.3f, 35.5f},
    {"NA", "AF", -22.1f, 17.2f}, {"NC", "OC", -21.3f, 165.6f}, {"NE", "AF", 17.4f, 9.4f},
    {"NF", "OC", -29.0f, 168.0f}, {"NG", "AF", 9.6f, 8.1f}, {"NI", "NA", 12.8f, -85.0f},
    {"NL", "EU", 52.1f, 5.3f}, {"NO", "EU", 62.0f, 10.0f}, {"NP", "AS", 28.2f, 84.0f},
    {"NR", "OC", -0.5f, 166.9f}, {"NU", "OC", -19.1f, -169.9f}, {"NZ", "OC", -41.5f, 172.8f},
    {"OM", "AS", 20.6f, 56.1f}, {"PA", "NA", 8.5f, -80.1f}, {"PE", "SA", -9.2f, -74.4f},
    {"PF", "OC", -17.7f, -149.4f}, {"PG", "OC", -6.5f, 145.2f}, {"PH", "AS", 12.0f, 122.5f},
    {"PK", "AS", 30.0f, 69.4f}, {"PL", "EU", 52.1f, 19.4f}, {"PM", "NA", 46.9f, -56.3f},
    {"PN", "OC", -25.1f, -130.1f}, {"PR", "NA", 18.2f, -66.5f}, {"PS", "AS", 31.9f, 35.2f},
    {"PT", "EU", 39.6f, -8.0f}, {"PW", "OC", 7.4f, 134.5f}, {"PY", "SA", -23.2f, -58.4f},
    {"QA", "AS", 25.3f, 51.2f}, {"RE", "AF", -21.1f, 55.5f}, {"RO", "EU", 45.9f, 25.0f},
    {"RS", "EU", 44.0f, 20.8f}, {"RU", "EU", 58.0f, 60.0f}, {"RW", "AF", -2.0f, 30.0f},
    {"SA", "AS", 24.1f, 44.5f}, {"SB", "OC", -9.0f, 160.0f}, {"SC", "AF", -4.7f, 55.5f},
    {"SD", "AF", 16.0f, 30.0f}, {"SE", "EU", 62.0f, 15.0f}, {"SG", "AS", 1.35f, 103.8f},
    {"SH", "AF", -15.95f, -5.7f}, {"SI", "EU", 46.1f, 14.8f}, {"SJ", "EU", 78.0f, 18.0f},
    {"SK", "EU", 48.7f, 19.5f}, {"SL", "AF", 8.6f, -11.8f}, {"SM", "EU", 43.9f, 12.5f},
    {"SN", "AF", 14.4f, -14.5f}, {"SO", "AF", 4.8f, 46.0f}, {"SR", "SA", 4.1f, -55.9f},
    {"SS", "AF", 7.3f, 30.3f}, {"ST", "AF", 0.4f, 6.7f}, {"SV", "NA", 13.7f, -88.9f},
    {"SX", "NA", 18.05f, -63.1f}, {"SY", "AS", 35.0f, 38.5f}, {"SZ", "AF", -26.6f, 31.5f},
    {"TC", "NA", 21.8f, -71.8f}, {"TD", "AF", 15.3f, 18.6f}, {"TF", "AN", -49.3f, 69.4f},
    {"TG", "AF", 8.5f, 1.0f}, {"TH", "AS", 15.1f, 101.0f}, {"TJ", "AS", 38.5f, 71.0f},
    {"TK", "OC", -9.0f, -171.8f}, {"TL", "AS", -8.8f, 125.9f}, {"TM", "AS", 39.1f, 59.4f},
    {"TN", "AF", 34.1f, 9.6f}, {"TO", "OC", -21.2f, -175.2f}, {"TR", "AS", 39.0f, 35.2f},
    {"TT", "NA", 10.5f, -61.3f}, {"TV", "OC", -8.0f, 178.0f}, {"TW", "AS", 23.7f, 121.0f},
    {"TZ", "AF", -6.3f, 34.8f}, {"UA", "EU", 49.0f, 31.4f}, {"UG", "AF", 1.3f, 32.4f},
    {"UM", "OC", 19.3f, 166.6f}, {"US", "NA", 39.8f, -98.6f}, {"UY", "SA", -32.8f, -56.0f},
    {"UZ", "AS", 41.8f, 63.1f}, {"VA", "EU", 41.9f, 12.45f}, {"VC", "NA", 13.2f, -61.2f},
    {"VE", "SA", 7.1f, -66.2f}, {"VG", "NA", 18.4f, -64.6f}, {"VI", "NA", 18.1f, -64.8f},
    {"VN", "AS", 16.0f, 107.8f}, {"VU", "OC", -16.2f, 167.7f}, {"WF", "OC", -13.8f, -177.2f},
    {"WS", "OC", -13.7f, -172.2f}, {"XK", "EU", 42.6f, 20.9f}, {"YE", "AS", 15.9f, 47.6f},
    {"YT", "AF", -12.8f, 45.1f}, {"ZA", "AF", -29.0f, 25.1f}, {"ZM", "AF", -13.5f, 27.8f},
    {"ZW", "AF", -19.0f, 29.9f},
    /* clang-format on */
};

static int country_cmp(const void *key, const void *c)
{
    return strcmp(key, ((const struct country *)c)->code);
}

static const struct country *country_find(const char *code)
{
    return bsearch(code, countries, PM_ARRAY_LEN(countries), sizeof *countries, country_cmp);
}

const char *geo_country_continent(const char *country)
{
    const struct country *c = country_find(country);
    return c ? c->continent : "";
}

bool geo_country_centre(const char *country, float *lat, float *lon)
{
    const struct country *c = country_find(country);
    if (!c)
        return false;
    *lat = c->lat;
    *lon = c->lon;
    return true;
}
