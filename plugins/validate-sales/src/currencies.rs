//! The currencies of the world.

/// The codes of ISO 4217 that name a currency in use, in alphabetical order, a space after each.
const ISO_4217: &str = "\
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD \
CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP \
GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD \
KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN \
NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP \
SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES \
VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ";

/// Whether a text is such a code, spelled as the norm does.
pub(crate) fn is_iso_4217(text: &str) -> bool {
    let &[first, second, third] = text.as_bytes() else {
        return false;
    };
    // Asked of nearly every sale: four bytes are one number, and numbers are ordered as the codes.
    let wanted = u32::from_be_bytes([first, second, third, b' ']);
    let (codes, _) = ISO_4217.as_bytes().as_chunks::<4>();
    codes
        .binary_search_by_key(&wanted, |code| u32::from_be_bytes(*code))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_each_code_has_three_capitals() {
        let codes: Vec<&str> = ISO_4217.split_terminator(' ').collect();
        assert!(codes.is_sorted());
        for code in codes {
            assert_eq!(code.len(), 3);
            assert!(code.bytes().all(|b| b.is_ascii_uppercase()) && is_iso_4217(code));
        }
        for other in ["eur", "EU", "EURO", "AAA", "ZZZ", "EU ", ""] {
            assert!(!is_iso_4217(other), "{other:?}");
        }
    }
}
