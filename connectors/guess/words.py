"""What columns and states are called, in several languages. All in lower case, without accents and punctuation."""

import re
import unicodedata
from typing import Final

_OTHER: Final = re.compile(r"[^a-z0-9]+")
_HUMPS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])")


def plain(text: str) -> str:
    """Write a name in the form of the lists below: ``Bestell-Nr.`` is ``bestell nr``, ``orderId`` is ``order id``."""
    spaced = _HUMPS.sub(" ", text).replace("ß", "ss")
    letters = unicodedata.normalize("NFKD", spaced).encode("ascii", "ignore").decode().lower()
    return _OTHER.sub(" ", letters).strip()


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


ROLES: Final[dict[str, tuple[str, ...]]] = {
    "customer": _words(
        "customer id, customer number, customer no, customer, household id, client id, user id, customer user "
        "id, account id, member id, buyer id, card, card number, card id, kundennummer, kunden nr, kundennr, "
        "kunden id, kunde, id client, numero client, numero de client, no client, n client, code client, "
        "client, id cliente, numero cliente, numero de cliente, cliente, codigo cliente, codice cliente, "
        "klantnummer, klant id, klant, id customer, customer customer id"
    ),
    "guest": _words("guest id, visitor id, anonymous id, id guest, gast id, gast nr, id invite, id invitado"),
    "email": _words(
        "email, e mail, customer email, email address, e mail address, billing email, email billing, customer "
        "email address, contact email, buyer email, e mail adresse, emailadresse, mail, e mail kunde, kunden "
        "e mail, adresse e mail, adresse email, courriel, correo, correo electronico, email cliente, "
        "indirizzo email, e mailadres"
    ),
    "phone": _words(
        "phone, phone number, billing phone, phone billing, telefon, telefonnummer, telephone, tel, telefono"
    ),
    "order": _words(
        "order id, order number, order no, order, id order, order reference, bestellnummer, bestell nr, "
        "bestellnr, bestell id, bestellung, auftragsnummer, auftrags nr, auftrag, numero de commande, numero "
        "commande, n commande, no commande, id commande, commande, reference commande, numero de pedido, "
        "numero pedido, n pedido, n o pedido, id pedido, pedido, numero ordine, id ordine, ordine, "
        "bestelnummer, ordernummer, invoice number, invoice no, invoice, rechnungsnummer, rechnungs nr, "
        "numero facture, facture, factura, transaction id, receipt number, receipt no, receipt, basket id, "
        "belegnummer, beleg nr, beleg, bonnummer, bon nr, increment id"
    ),
    "date": _words(
        "order date, date, created at, date created, created, order created at, created date, created date "
        "utc, ordered at, purchase date, purchased at, invoice date, date add, timestamp, datetime, "
        "bestelldatum, auftragsdatum, kaufdatum, rechnungsdatum, datum, erstellt am, bestellt am, date de "
        "commande, date commande, date d achat, date achat, fecha de pedido, fecha pedido, fecha de compra, "
        "fecha, data ordine, data, besteldatum, paid at, paid date, day, tag, at, occurred at, ts, time"
    ),
    "clock": _words("time, order time, uhrzeit, zeit, heure, hora, ora, tijd"),
    "refund date": _words(
        "refunded at, refund date, date refunded, refunded date, refunded date utc, erstattet am, "
        "erstattungsdatum, date de remboursement, date remboursement, rembourse le, fecha de reembolso, fecha "
        "reembolso"
    ),
    "total": _words(
        "order total, total, grand total, order total amount, total amount, total price, sales value, total "
        "paid, amount, order amount, order value, revenue, value, sum, sales, gesamtbetrag, gesamtsumme, "
        "gesamt, bestellsumme, bestellwert, summe, betrag, rechnungsbetrag, endbetrag, umsatz, brutto, total "
        "ttc, montant total, montant, total commande, importe total, importe, total pedido, totale, importo, "
        "totaal, bedrag, total incl tax, total paid tax incl, eur, usd"
    ),
    "refund": _words(
        "refund amount, refunded amount, amount refunded, order refund amount, total refunded, refunded "
        "total, refund total, refund, refunded, erstattungsbetrag, erstattung, erstattet, ruckerstattung, "
        "rueckerstattung, gutschrift, montant rembourse, remboursement, rembourse, importe reembolsado, "
        "reembolso, reembolsado, rimborso"
    ),
    "currency": _words(
        "currency, currency code, order currency, wahrung, waehrung, devise, monnaie, moneda, divisa, valuta"
    ),
    "quantity": _words(
        "quantity, qty, item quantity, lineitem quantity, product quantity, quantity refund, menge, anzahl, "
        "stuck, stueck, stk, quantite, qte, cantidad, cant, quantita, aantal, items, units, item count, "
        "number of items, lines"
    ),
    "sku": _words(
        "sku, item sku, product sku, lineitem sku, stock code, product code, article number, artikelnummer, "
        "artikel nr, art nr, artnr, artikelnr, reference produit, reference article, ref, referencia, codice "
        "articolo"
    ),
    "product id": _words("product id, item product id, produkt id, produktnummer, id produit, id producto"),
    "product": _words(
        "product name, product, item name, item, lineitem name, title, produktname, produkt, artikelname, "
        "artikel, artikelbezeichnung, bezeichnung, nom du produit, produit, designation, article, nombre del "
        "producto, producto, prodotto"
    ),
    "price": _words(
        "unit price, item price, price, item cost, lineitem price, price each, einzelpreis, stuckpreis, "
        "stueckpreis, preis, prix unitaire, prix, precio unitario, precio, prezzo, prijs"
    ),
    "line total": _words(
        "line total, item total, row total, order line total, line amount, positionssumme, positionsbetrag, "
        "zeilensumme, gesamtpreis, total ligne, montant ligne, total linea, importe linea"
    ),
    "status": _words(
        "order status, status, financial status, payment status, order state, state, bestellstatus, "
        "auftragsstatus, zahlungsstatus, statut de la commande, statut commande, statut, etat, estado del "
        "pedido, estado, stato"
    ),
    "type": _words("type, transaction type, kind, typ, vorgang, belegart, art, type de transaction, tipo"),
    "coupon": _words("coupon code, coupon, discount code, voucher, gutscheincode, gutschein, code promo, cupon"),
    "channel": _words("channel, sales channel, kanal, vertriebskanal, canal"),
}
"""What the columns of orders are called: the frequent names of each role first."""

STATES: Final[dict[str, tuple[str, ...]]] = {
    "paid": _words(
        "completed, complete, processing, paid, succeeded, success, shipped, delivered, fulfilled, partially "
        "paid, closed, done, sale, purchase, buy, order, invoice, charge, abgeschlossen, fertiggestellt, in "
        "bearbeitung, bezahlt, versendet, versandt, geliefert, zugestellt, erledigt, verkauf, kauf, rechnung, "
        "terminee, termine, en cours, payee, paye, expediee, livree, vente, achat, completado, procesando, "
        "pagado, enviado, entregado, venta, compra, completato, pagato, spedito"
    ),
    "refunded": _words(
        "refunded, partially refunded, refund, return, returned, back, chargeback, credit note, erstattet, "
        "teilweise erstattet, ruckerstattet, rueckerstattet, retoure, retourniert, ruckgabe, gutschrift, "
        "remboursee, rembourse, remboursement, partiellement remboursee, retour, avoir, reembolsado, "
        "devuelto, devolucion, rimborsato, reso"
    ),
    "cancelled": _words(
        "cancelled, canceled, voided, void, storniert, storno, annulliert, abgebrochen, annulee, annule, "
        "cancelado, anulado, annullato"
    ),
    "open": _words(
        "pending, pending payment, on hold, failed, draft, checkout draft, authorized, expired, unpaid, "
        "awaiting payment, new, open, ausstehend, zahlung ausstehend, wartend, in wartestellung, "
        "fehlgeschlagen, offen, en attente, en attente paiement, attente paiement, echouee, echoue, "
        "pendiente, pendiente de pago, en espera, fallido, in attesa, in sospeso"
    ),
}
"""What the states of an order are called."""


def state_of(text: str) -> str | None:
    """Return the state that a text stands for: paid, refunded, cancelled or open; None where it is unknown."""
    word = plain(text).removeprefix("wc ")
    return next((state for state, words in STATES.items() if word in words), None)
